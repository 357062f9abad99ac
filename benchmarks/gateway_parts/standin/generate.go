package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// answer is one that is being generated.
type answer struct {
	node     *node
	body     *asked
	chat     bool
	state    uint64
	left     int
	finish   string
	prompt   int
	done     int
	id       string
	counted  string
	created  int64
	perEvent int
}

// generate answers a chat or a completion, plainly or as a stream.
func (n *node) generate(
	w http.ResponseWriter, r *http.Request, body *asked, state uint64, answered, prompt int, chat bool,
) {
	id := r.Header.Get("X-Request-Id")
	kind := map[bool]string{true: "chatcmpl-", false: "cmpl-"}[chat]
	a := &answer{
		node: n, body: body, chat: chat, state: state, prompt: prompt, counted: id,
		id: fmt.Sprintf("%s%s-%d", kind, n.name, n.serial.Add(1)), created: time.Now().Unix(),
		perEvent: max(n.each, body.Standin.PerStep),
	}
	wanted := n.tokens
	if body.Standin.Tokens > 0 {
		wanted = body.Standin.Tokens
	}
	a.left, a.finish = max(wanted-answered, 0), "stop"
	limit := body.MaxTokens
	if body.MaxCompletionTokens != nil {
		limit = body.MaxCompletionTokens
	}
	if limit != nil && *limit < a.left {
		a.left, a.finish = *limit, "length"
	}
	n.counts.begin(id)
	over := false
	defer func() { n.counts.end(!over && r.Context().Err() != nil) }()
	planned := n.faults.next(limit != nil && *limit == 1)
	if planned.atOnce(w, r) {
		return
	}
	n.counts.prompt(id, prompt)
	if body.Stream {
		over = a.stream(w, r, planned)
	} else {
		a.plain(w, r, planned)
		over = true
	}
}

func (a *answer) plain(w http.ResponseWriter, r *http.Request, planned fault) {
	if planned.After > 0 {
		planned.midway(w, r, []byte("{}"))
		return
	}
	choices := []any{}
	for index := range a.body.N {
		state, text := a.state, strings.Builder{}
		state = feed(state, strings.Repeat("\x02", index))
		for range a.left {
			next := token(state)
			state = feed(state, next)
			text.WriteString(next)
		}
		choice := map[string]any{"index": index, "finish_reason": a.finish, "logprobs": nil, "stop_reason": nil}
		if a.chat {
			choice["message"] = map[string]any{"role": "assistant", "content": text.String(), "tool_calls": []any{}}
		} else {
			choice["text"] = text.String()
		}
		choices = append(choices, choice)
	}
	a.done = a.left * a.body.N
	a.node.counts.add(a.counted, a.done)
	object := map[bool]string{true: "chat.completion", false: "text_completion"}[a.chat]
	reply(w, http.StatusOK, map[string]any{
		"id": a.id, "object": object, "created": a.created, "model": a.body.Model, "choices": choices, "usage": a.usage(),
	})
}

func (a *answer) usage() map[string]any {
	return map[string]any{
		"prompt_tokens": a.prompt, "completion_tokens": a.done, "total_tokens": a.prompt + a.done,
		"prompt_tokens_details": nil,
	}
}

// stream sends events; true: the answer went out whole.
func (a *answer) stream(w http.ResponseWriter, r *http.Request, planned fault) bool {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	control := http.NewResponseController(w)
	pace := a.node.pace
	if a.body.Standin.PaceMs != nil {
		pace = time.Duration(*a.body.Standin.PaceMs) * time.Millisecond
	}
	send := func(event []byte) bool {
		if _, err := w.Write(event); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if a.chat {
		for index := range a.body.N {
			if !send(a.event(index, "", "", true)) {
				return false
			}
		}
	}
	states := make([]uint64, a.body.N)
	for index := range states {
		states[index] = feed(a.state, strings.Repeat("\x02", index))
	}
	for sent := 0; sent < a.left; {
		pause(r, pace)
		if r.Context().Err() != nil {
			return false
		}
		step := min(a.perEvent, a.left-sent)
		if planned.After > 0 {
			step = min(step, max(planned.After-sent, 1))
		}
		for index := range states {
			text := ""
			state := states[index]
			for range step {
				next := token(state)
				state = feed(state, next)
				text += next
			}
			finish := ""
			if sent+step == a.left {
				finish = a.finish
			}
			if planned.After > 0 && sent >= planned.After {
				if planned.Kind == "half" {
					// It was generated; who reads the half can see that.
					a.node.counts.add(a.counted, step)
				}
				planned.midway(w, r, a.event(index, text, finish, false))
				return false
			}
			a.node.counts.add(a.counted, step)
			a.done += step
			if !send(a.event(index, text, finish, false)) {
				return false
			}
			states[index] = state
		}
		sent += step
	}
	if a.left == 0 && !send(a.event(0, "", a.finish, false)) {
		return false
	}
	if a.body.StreamOptions.IncludeUsage && !send(a.last()) {
		return false
	}
	return send([]byte("data: [DONE]\n\n"))
}

// event is one with text of one choice.
func (a *answer) event(index int, text, finish string, role bool) []byte {
	var made bytes.Buffer
	object := map[bool]string{true: "chat.completion.chunk", false: "text_completion"}[a.chat]
	fmt.Fprintf(&made, `data: {"id":"%s","object":"%s","created":%d,"model":"%s","choices":[{"index":%d,`,
		a.id, object, a.created, a.body.Model, index)
	quoted := quote(text)
	switch {
	case role:
		made.WriteString(`"delta":{"role":"assistant","content":""},"logprobs":null,`)
	case a.chat:
		fmt.Fprintf(&made, `"delta":{"content":%s},"logprobs":null,`, quoted)
	default:
		fmt.Fprintf(&made, `"text":%s,"logprobs":null,`, quoted)
	}
	if finish == "" {
		made.WriteString(`"finish_reason":null}]`)
	} else {
		fmt.Fprintf(&made, `"finish_reason":"%s","stop_reason":null}]`, finish)
	}
	if a.body.StreamOptions.ContinuousUsage && a.body.StreamOptions.IncludeUsage {
		usage, _ := json.Marshal(a.usage())
		made.WriteString(`,"usage":`)
		made.Write(usage)
	}
	made.WriteString("}\n\n")
	return made.Bytes()
}

// last is the event with the usage and no choice.
func (a *answer) last() []byte {
	object := map[bool]string{true: "chat.completion.chunk", false: "text_completion"}[a.chat]
	content, _ := json.Marshal(map[string]any{
		"id": a.id, "object": object, "created": a.created, "model": a.body.Model, "choices": []any{}, "usage": a.usage(),
	})
	return append(append([]byte("data: "), content...), "\n\n"...)
}

// quote is JSON without escapes that are not needed, as vLLM writes it.
func quote(text string) []byte {
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text)
	return bytes.TrimSuffix(made.Bytes(), []byte("\n"))
}
