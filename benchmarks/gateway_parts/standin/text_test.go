package main

import (
	"encoding/json"
	"testing"
)

func TestAnAnswerThatIsContinuedIsTheSame(t *testing.T) {
	prompt, _ := json.Marshal("tell me")
	whole := expected(feed(fnvOffset, "user\x00tell me\x01"), 30)
	first := expected(feed(fnvOffset, "user\x00tell me\x01"), 12)
	so, _ := json.Marshal(first)
	state, answered, _ := conversation([]message{{"user", prompt}, {"assistant", so}}, true)
	if answered != 12 {
		t.Fatalf("%d tokens so far", answered)
	}
	if first+expected(state, 18) != whole {
		t.Fatal("another text")
	}
}

func TestTextThatIsNoAnswerHasNoTokens(t *testing.T) {
	for _, text := range []string{"", " t", "some words", " t123a", "x t1234z"} {
		if trailing(text) != 0 {
			t.Fatalf("%q", text)
		}
	}
}
