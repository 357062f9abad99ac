package main

import (
	"fmt"
	"os"
	"sync"
)

// count is what a node has done for one request.
type count struct {
	Requests   int `json:"requests"`
	Prompt     int `json:"prompt"`
	Completion int `json:"completion"`
}

// counts holds what the node has done for each request id, and in a file, which outlives a kill of the node:
// a line `id prompt completion` for each step, to be added up.
type counts struct {
	mutex     sync.Mutex
	requests  map[string]*count
	file      *os.File
	inFlight  int
	peak      int
	cancelled int
	refused   int
	seen      []map[string][]string
}

func newCounts(path string) (*counts, error) {
	made := &counts{requests: map[string]*count{}}
	if path == "" {
		return made, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	made.file = file
	return made, err
}

// begin notes a request.
func (c *counts) begin(id string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	entry := c.requests[id]
	if entry == nil {
		entry = &count{}
		c.requests[id] = entry
	}
	entry.Requests++
	c.inFlight++
	c.peak = max(c.peak, c.inFlight)
}

// prompt notes the tokens of a prompt that is being answered.
func (c *counts) prompt(id string, tokens int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.requests[id].Prompt += tokens
	c.write(id, tokens, 0)
}

// add notes tokens that were generated.
func (c *counts) add(id string, tokens int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.requests[id].Completion += tokens
	c.write(id, 0, tokens)
}

// end notes that a request is over, and whether its client was gone before.
func (c *counts) end(cancelled bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.inFlight--
	if cancelled {
		c.cancelled++
	}
}

func (c *counts) write(id string, prompt, completion int) {
	if c.file != nil {
		fmt.Fprintf(c.file, "%s %d %d\n", id, prompt, completion)
	}
}

// look keeps the headers of the latest requests.
func (c *counts) look(headers map[string][]string, refused bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if refused {
		c.refused++
	}
	c.seen = append(c.seen, headers)
	if len(c.seen) > 200 {
		c.seen = append([]map[string][]string{}, c.seen[100:]...)
	}
}

// report is the answer to GET /standin/counts.
func (c *counts) report() map[string]any {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	all := map[string]count{}
	total := count{}
	for id, each := range c.requests {
		all[id] = *each
		total.Requests += each.Requests
		total.Prompt += each.Prompt
		total.Completion += each.Completion
	}
	return map[string]any{
		"requests": all, "total": total, "inFlight": c.inFlight, "peakInFlight": c.peak,
		"cancelled": c.cancelled, "refused": c.refused, "seen": append([]map[string][]string{}, c.seen...),
	}
}
