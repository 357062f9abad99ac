package main

import "encoding/json"

// The text of an answer follows from all text before it, byte by byte, so that an answer that another node continues
// can be told from one that lost or doubled a token. Some tokens need escapes in JSON, some several bytes.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
	digits    = "0123456789abcdefghijklmnopqrstuv"
)

var endings = []string{"a", "é", "\"", "\\", "\n", "日", "😀", "<"}

// feed is the state after more text (FNV-1a, 64 bits).
func feed(state uint64, text string) uint64 {
	for i := 0; i < len(text); i++ {
		state = (state ^ uint64(text[i])) * fnvPrime
	}
	return state
}

// token is what follows in this state.
func token(state uint64) string {
	mixed := state ^ state>>29
	return " t" + string([]byte{
		digits[mixed&31], digits[mixed>>5&31], digits[mixed>>10&31], digits[mixed>>15&31],
	}) + endings[mixed>>20&7]
}

// trailing counts the tokens at the end of a text: how much of an answer is there already.
func trailing(text string) int {
	runes := []rune(text)
	count := 0
	for end := len(runes); end >= 7; end -= 7 {
		if !isToken(runes[end-7 : end]) {
			break
		}
		count++
	}
	return count
}

func isToken(runes []rune) bool {
	if runes[0] != ' ' || runes[1] != 't' {
		return false
	}
	for _, each := range runes[2:6] {
		if !(each >= '0' && each <= '9' || each >= 'a' && each <= 'v') {
			return false
		}
	}
	for _, ending := range endings {
		if string(runes[6]) == ending {
			return true
		}
	}
	return false
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// words is the text of a message: a string, or the text of its parts.
func (m message) words() string { return textOf(m.Content) }

func textOf(raw json.RawMessage) string {
	var plain string
	if json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) == nil {
		for _, part := range parts {
			plain += part.Text
		}
		return plain
	}
	var texts []string
	if json.Unmarshal(raw, &texts) == nil {
		for _, text := range texts {
			plain += text
		}
		return plain
	}
	return string(raw)
}

// conversation is the state after all messages, the tokens that the answer has already, and the prompt's length.
func conversation(messages []message, continued bool) (state uint64, answered, length int) {
	state = fnvOffset
	for i, each := range messages {
		words := each.words()
		length += len(words)
		if continued && i == len(messages)-1 {
			return feed(state, words), trailing(words), length
		}
		state = feed(state, each.Role+"\x00"+words+"\x01")
	}
	return state, 0, length
}

// tokensOf is what a text of this many bytes counts as.
func tokensOf(length int) int { return length/4 + 1 }
