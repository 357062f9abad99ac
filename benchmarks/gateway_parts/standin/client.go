package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// client is one connection that is used again and again.
type client struct {
	plan   plan
	conn   net.Conn
	reader *bufio.Reader
}

// outcome is one request's.
type outcome struct {
	status  int
	seconds float64
	first   float64
	events  int
	tokens  int
	wrong   string
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// ask sends one request and checks its answer.
func (c *client) ask(number int) outcome {
	begun := time.Now()
	result := outcome{}
	result.wrong = c.try(number, begun, &result)
	result.seconds = time.Since(begun).Seconds()
	if result.wrong != "" {
		c.close()
	}
	return result
}

func (c *client) try(number int, begun time.Time, result *outcome) string {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.plan.target.Host, c.plan.timeout)
		if err != nil {
			return "connect: " + brief(err)
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(begun.Add(c.plan.timeout))
	body, state := c.plan.body(number)
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", c.plan.path(), c.plan.target.Host, c.plan.key, len(body))
	if _, err := io.WriteString(c.conn, head+body); err != nil {
		return "send: " + brief(err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return "head: " + brief(err)
	}
	defer response.Body.Close()
	result.status = response.StatusCode
	var wrong string
	if response.StatusCode == http.StatusOK && c.plan.mode == "sse" {
		wrong = c.events(response.Body, state, begun, result)
	} else {
		wrong = c.whole(response, state, result)
	}
	if response.Close {
		c.close()
	}
	return wrong
}

// whole checks an answer that is no stream.
func (c *client) whole(response *http.Response, state uint64, result *outcome) string {
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return "body: " + brief(err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Sprintf("status %d", response.StatusCode)
	}
	var answer struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
			Text string `json:"text"`
		} `json:"choices"`
		Data []struct {
			Embedding []float64 `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		return "no JSON"
	}
	if c.plan.mode == "embeddings" {
		if len(answer.Data) != 1 || len(answer.Data[0].Embedding) != 64 ||
			answer.Data[0].Embedding[0] != float64(feed(state, "x")>>40)/(1<<24) {
			return "other embedding"
		}
		return ""
	}
	result.tokens = c.plan.tokens
	if len(answer.Choices) != 1 ||
		answer.Choices[0].Message.Content+answer.Choices[0].Text != expected(state, c.plan.tokens) {
		return "other text"
	}
	return ""
}

// events checks a stream: each token once and in order, one end, nothing after it.
func (c *client) events(body io.Reader, state uint64, begun time.Time, result *outcome) string {
	reader := bufio.NewReader(body)
	var text strings.Builder
	finish, done := "", false
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil {
			return "broken stream"
		}
		data, found := bytes.CutPrefix(bytes.TrimRight(line, "\n"), []byte("data: "))
		if !found {
			continue
		}
		if result.first == 0 {
			result.first = time.Since(begun).Seconds()
		}
		result.events++
		if done {
			return "event after the end"
		}
		if bytes.Equal(data, []byte("[DONE]")) {
			done = true
			continue
		}
		var event struct {
			Error   any `json:"error"`
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
				FinishReason string `json:"finish_reason"`
			} `json:"choices"`
		}
		if json.Unmarshal(data, &event) != nil {
			return "event without JSON"
		}
		if event.Error != nil {
			return "error event"
		}
		for _, choice := range event.Choices {
			text.WriteString(choice.Delta.Content)
			if choice.FinishReason != "" {
				finish = choice.FinishReason
			}
		}
	}
	result.tokens = trailing(text.String())
	switch {
	case !done:
		return "stream without end"
	case finish == "":
		return "no finish_reason"
	case text.String() != expected(state, c.plan.tokens):
		return "other text"
	}
	return ""
}

// expected is the text of an answer.
func expected(state uint64, tokens int) string {
	var text strings.Builder
	for range tokens {
		next := token(state)
		state = feed(state, next)
		text.WriteString(next)
	}
	return text.String()
}

// brief is an error without addresses, so that equal ones are counted together.
func brief(err error) string {
	var operation *net.OpError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "closed"
	}
	return err.Error()
}
