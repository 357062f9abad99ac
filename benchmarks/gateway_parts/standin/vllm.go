package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// node is one stand-in of a vLLM server.
type node struct {
	name   string
	key    string
	models []string
	tokens int
	pace   time.Duration
	each   int
	counts *counts
	faults *faults
	serial atomic.Int64
}

// asked is a request's body, as far as it matters here.
type asked struct {
	Model               string          `json:"model"`
	Messages            []message       `json:"messages"`
	Prompt              json.RawMessage `json:"prompt"`
	Input               json.RawMessage `json:"input"`
	Stream              bool            `json:"stream"`
	N                   int             `json:"n"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	ContinueFinal       bool            `json:"continue_final_message"`
	AddGenerationPrompt *bool           `json:"add_generation_prompt"`
	StreamOptions       struct {
		IncludeUsage    bool `json:"include_usage"`
		ContinuousUsage bool `json:"continuous_usage_stats"`
	} `json:"stream_options"`
	// What a test asks of the stand-in itself.
	Standin struct {
		Tokens  int  `json:"tokens"`
		PaceMs  *int `json:"pace_ms"`
		PerStep int  `json:"per_event"`
	} `json:"standin"`
}

func serve(arguments []string) error {
	flags := flag.NewFlagSet("vllm", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address")
	name := flags.String("name", "node", "name, for the header x-standin")
	key := flags.String("key", "", "key that requests must have; empty: none needed")
	models := flags.String("models", "standin", "names of models, with commas between")
	tokens := flags.Int("tokens", 20, "tokens of an answer that has no limit")
	paceMs := flags.Int("pace-ms", 0, "time between tokens of a stream")
	each := flags.Int("per-event", 1, "tokens in an event")
	file := flags.String("counts-file", "", "file that gets what was counted, step by step")
	_ = flags.Parse(arguments)
	counted, err := newCounts(*file)
	if err != nil {
		return err
	}
	made := &node{
		name: *name, key: *key, models: strings.Split(*models, ","), tokens: *tokens,
		pace: time.Duration(*paceMs) * time.Millisecond, each: *each, counts: counted, faults: &faults{},
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Printf("{\"url\":\"http://%s\"}\n", listener.Addr())
	_ = os.Stdout.Sync()
	return (&http.Server{Handler: made.routes(), ReadHeaderTimeout: time.Minute}).Serve(listener)
}

func (n *node) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /v1/models", n.known(n.list))
	mux.HandleFunc("POST /v1/chat/completions", n.known(n.chat))
	mux.HandleFunc("POST /v1/completions", n.known(n.completions))
	mux.HandleFunc("POST /v1/embeddings", n.known(n.embeddings))
	mux.HandleFunc("GET /standin/counts", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, n.counts.report())
	})
	mux.HandleFunc("PUT /standin/faults", func(w http.ResponseWriter, r *http.Request) {
		var planned []fault
		if err := json.NewDecoder(r.Body).Decode(&planned); err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		n.faults.set(planned)
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// known lets in only who has the key, as vLLM does with --api-key.
func (n *node) known(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		allowed := n.key == "" || r.Header.Get("Authorization") == "Bearer "+n.key
		n.counts.look(r.Header, !allowed)
		w.Header().Set("X-Standin", n.name)
		if !allowed {
			reply(w, http.StatusUnauthorized, map[string]string{"error": "Unauthorized"})
			return
		}
		handle(w, r)
	}
}

func (n *node) list(w http.ResponseWriter, _ *http.Request) {
	data := []map[string]any{}
	for _, model := range n.models {
		data = append(data, map[string]any{
			"id": model, "object": "model", "created": 1700000000, "owned_by": "vllm", "root": model,
		})
	}
	reply(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

// read is the request's body; nil: it was answered already.
func (n *node) read(w http.ResponseWriter, r *http.Request) *asked {
	var body asked
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	if err := json.Unmarshal(content, &body); err != nil {
		fail(w, http.StatusBadRequest, "1 validation error: "+err.Error())
		return nil
	}
	if !slices.Contains(n.models, body.Model) {
		fail(w, http.StatusNotFound, "The model `"+body.Model+"` does not exist.")
		return nil
	}
	body.N = max(body.N, 1)
	if body.ContinueFinal && (body.AddGenerationPrompt == nil || *body.AddGenerationPrompt) {
		fail(w, http.StatusBadRequest, "Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
		return nil
	}
	return &body
}

func (n *node) chat(w http.ResponseWriter, r *http.Request) {
	if body := n.read(w, r); body != nil {
		state, answered, length := conversation(body.Messages, body.ContinueFinal)
		n.generate(w, r, body, state, answered, tokensOf(length), true)
	}
}

func (n *node) completions(w http.ResponseWriter, r *http.Request) {
	if body := n.read(w, r); body != nil {
		prompt := textOf(body.Prompt)
		n.generate(w, r, body, feed(fnvOffset, prompt), trailing(prompt), tokensOf(len(prompt)), false)
	}
}

func (n *node) embeddings(w http.ResponseWriter, r *http.Request) {
	body := n.read(w, r)
	if body == nil {
		return
	}
	prompt := tokensOf(len(textOf(body.Input)))
	n.counts.begin(r.Header.Get("X-Request-Id"))
	defer func() { n.counts.end(false) }()
	if n.faults.next(false).atOnce(w, r) {
		return
	}
	n.counts.prompt(r.Header.Get("X-Request-Id"), prompt)
	vector := make([]float64, 64)
	state := feed(fnvOffset, textOf(body.Input))
	for i := range vector {
		state = feed(state, "x")
		vector[i] = float64(state>>40) / (1 << 24)
	}
	reply(w, http.StatusOK, map[string]any{
		"id": "embd-" + r.Header.Get("X-Request-Id"), "object": "list", "created": time.Now().Unix(), "model": body.Model,
		"data":  []any{map[string]any{"index": 0, "object": "embedding", "embedding": vector}},
		"usage": map[string]any{"prompt_tokens": prompt, "total_tokens": prompt, "completion_tokens": 0},
	})
}

func reply(w http.ResponseWriter, status int, body any) {
	content, _ := json.Marshal(body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(content)
}

// fail answers as vLLM does.
func fail(w http.ResponseWriter, status int, words string) {
	reply(w, status, map[string]any{"error": map[string]any{
		"message": words, "type": "BadRequestError", "param": nil, "code": status,
	}})
}
