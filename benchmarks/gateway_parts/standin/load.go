package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// plan is what the load generator does.
type plan struct {
	target      *url.URL
	key         string
	model       string
	mode        string
	connections int
	requests    int
	rate        float64
	duration    time.Duration
	bodyBytes   int
	tokens      int
	paceMs      int
	perEvent    int
	timeout     time.Duration
}

// tally is what came of it.
type tally struct {
	mutex     sync.Mutex
	errors    map[string]int
	statuses  map[int]int
	latencies []float64
	firsts    []float64
	events    int
	tokens    int
}

func (t *tally) note(result outcome) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.statuses[result.status]++
	t.latencies = append(t.latencies, result.seconds)
	if result.first > 0 {
		t.firsts = append(t.firsts, result.first)
	}
	t.events += result.events
	t.tokens += result.tokens
	if result.wrong != "" {
		t.errors[result.wrong]++
	}
}

func load(arguments []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	target := flags.String("url", "http://127.0.0.1:8080", "what is asked, without /v1")
	key := flags.String("key", "", "API key")
	model := flags.String("model", "standin", "model")
	mode := flags.String("mode", "json", "json, completions, embeddings or sse")
	connections := flags.Int("connections", 32, "requests at the same time in a closed loop")
	requests := flags.Int("requests", 1000, "requests of a closed loop")
	rate := flags.Float64("rate", 0, "requests per second of an open loop; 0: closed loop")
	duration := flags.Duration("duration", 10*time.Second, "how long an open loop lasts")
	bodyBytes := flags.Int("body-bytes", 100, "bytes of the prompt")
	tokens := flags.Int("tokens", 20, "tokens of an answer")
	paceMs := flags.Int("pace-ms", 0, "time between tokens of a stream")
	perEvent := flags.Int("per-event", 1, "tokens in an event")
	timeout := flags.Duration("timeout", time.Minute, "most that one request may take")
	_ = flags.Parse(arguments)
	parsed, err := url.Parse(*target)
	if err != nil {
		return err
	}
	p := plan{
		target: parsed, key: *key, model: *model, mode: *mode, connections: *connections, requests: *requests,
		rate: *rate, duration: *duration, bodyBytes: *bodyBytes, tokens: *tokens, paceMs: *paceMs, perEvent: *perEvent,
		timeout: *timeout,
	}
	result := &tally{errors: map[string]int{}, statuses: map[int]int{}}
	begun := time.Now()
	if p.rate > 0 {
		p.open(result)
	} else {
		p.closed(result)
	}
	return json.NewEncoder(os.Stdout).Encode(result.report(time.Since(begun).Seconds()))
}

// closed asks with each connection as soon as the answer before has come.
func (p plan) closed(result *tally) {
	var group sync.WaitGroup
	work := make(chan int)
	for range p.connections {
		group.Add(1)
		go func() {
			defer group.Done()
			client := &client{plan: p}
			defer client.close()
			for number := range work {
				result.note(client.ask(number))
			}
		}()
	}
	for number := range p.requests {
		work <- number
	}
	close(work)
	group.Wait()
}

// open asks at the rate, whether answers come or not; a latency counts from when the request was due.
func (p plan) open(result *tally) {
	var group sync.WaitGroup
	idle := make(chan *client, 100000)
	begun := time.Now()
	total := int(p.rate * p.duration.Seconds())
	for number := range total {
		due := begun.Add(time.Duration(float64(number) / p.rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		group.Add(1)
		go func() {
			defer group.Done()
			var chosen *client
			select {
			case chosen = <-idle:
			default:
				chosen = &client{plan: p}
			}
			answer := chosen.ask(number)
			answer.seconds = time.Since(due).Seconds()
			result.note(answer)
			idle <- chosen
		}()
	}
	group.Wait()
}

func (t *tally) report(seconds float64) map[string]any {
	failed := 0
	for _, count := range t.errors {
		failed += count
	}
	return map[string]any{
		"requests": len(t.latencies), "errors": failed, "wrong": t.errors, "statuses": t.statuses,
		"seconds": seconds, "perSecond": float64(len(t.latencies)) / seconds,
		"latencyMs": percentiles(t.latencies), "firstByteMs": percentiles(t.firsts),
		"events": t.events, "tokens": t.tokens,
	}
}

func percentiles(seconds []float64) map[string]float64 {
	if len(seconds) == 0 {
		return nil
	}
	slices.Sort(seconds)
	found := map[string]float64{}
	for name, share := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1} {
		found[name] = 1000 * seconds[min(int(share*float64(len(seconds))), len(seconds)-1)]
	}
	return found
}

// body is the request of a number, and the state of the text before its answer.
func (p plan) body(number int) (content string, state uint64) {
	prompt := fmt.Sprintf("request %d ", number)
	prompt += strings.Repeat("x", max(p.bodyBytes-len(prompt), 0))
	options := fmt.Sprintf(`"model":%q,"standin":{"tokens":%d,"pace_ms":%d,"per_event":%d}`,
		p.model, p.tokens, p.paceMs, p.perEvent)
	switch p.mode {
	case "embeddings":
		return fmt.Sprintf(`{%s,"input":%q}`, options, prompt), feed(fnvOffset, prompt)
	case "completions":
		return fmt.Sprintf(`{%s,"max_tokens":%d,"prompt":%q}`, options, p.tokens, prompt), feed(fnvOffset, prompt)
	case "sse":
		options += `,"stream":true`
	}
	return fmt.Sprintf(`{%s,"max_tokens":%d,"messages":[{"role":"user","content":%q}]}`, options, p.tokens, prompt),
		feed(fnvOffset, "user\x00"+prompt+"\x01")
}

// path is what is asked.
func (p plan) path() string {
	switch p.mode {
	case "embeddings":
		return "/v1/embeddings"
	case "completions":
		return "/v1/completions"
	}
	return "/v1/chat/completions"
}
