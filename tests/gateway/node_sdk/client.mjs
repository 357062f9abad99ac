// Asks the gateway through the `openai` package; what came is one line of JSON on standard output.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const given = JSON.parse(readFileSync(0, "utf8"));
const client = new OpenAI({ baseURL: given.url, apiKey: given.key, maxRetries: 0 });
const { model, messages } = given;
const chat = (more, options) => client.chat.completions.create({ model, messages, ...more }, options);
const found = {};

found.plain = (await chat({ max_tokens: 7 })).choices[0].message.content;

found.streamed = "";
const stream = await chat({ max_tokens: 25, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  found.streamed += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) found.usage = chunk.usage.completion_tokens;
}

const embedded = await client.embeddings.create({ model, input: "text", encoding_format: "float" });
found.embedding = embedded.data[0].embedding.length;

found.together = await Promise.all(
  Array.from({ length: 10 }, async (_, n) => {
    const answer = await chat({ messages: [{ role: "user", content: `number ${n}` }], max_tokens: 5 });
    return answer.choices[0].message.content;
  }),
);

const long = await chat({ max_tokens: 1000, stream: true, standin: { tokens: 1000, pace_ms: 20 } });
let seen = 0;
for await (const _ of long) {
  if (++seen === 4) break;
}
long.controller.abort();
found.afterCancel = (await chat({ max_tokens: 3 })).choices[0].message.content;

const status = async (promise) => promise.then(() => 200, (error) => error.status);
found.refused = [
  await status(new OpenAI({ baseURL: given.url, apiKey: "sk-none", maxRetries: 0 }).models.list()),
  await status(chat({ model: "nobody" })),
];
console.log(JSON.stringify(found));
