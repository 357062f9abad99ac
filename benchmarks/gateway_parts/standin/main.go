// Command standin is a stand-in for a vLLM node, and a load generator, for tests and benchmarks of the gateway.
//
//	standin vllm -listen 127.0.0.1:8000 -key KEY -models m      answers as a vLLM node does
//	standin load -url http://127.0.0.1:8080 -key KEY -model m   asks, checks each answer, prints JSON
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func([]string) error{"vllm": serve, "load": load}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: standin vllm|load [flags]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}
