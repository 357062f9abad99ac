package main

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// fault is something that a node does wrong.
//
// Kinds: `die` closes the connection after that many tokens (`reset`: with a reset), `stall` says nothing more, `half`
// sends a part of an event and closes, `garbage` sends what is no event and ends as if all were well, `status` answers with
// an error, `slow` waits before the first byte.
type fault struct {
	Kind   string `json:"kind"`
	After  int    `json:"after"`  // tokens before it
	Times  int    `json:"times"`  // requests that it befalls; below 0: all
	Status int    `json:"status"` // of `status`
	Ms     int    `json:"ms"`     // of `slow`
	Reset  bool   `json:"reset"`  // of `die`
	Probes bool   `json:"probes"` // whether requests for one token have it, too
}

type faults struct {
	mutex   sync.Mutex
	planned []fault
}

// set replaces what is planned.
func (f *faults) set(planned []fault) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.planned = planned
}

// next is what befalls a request.
func (f *faults) next(probe bool) fault {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for i := range f.planned {
		each := &f.planned[i]
		if each.Times == 0 || probe && !each.Probes {
			continue
		}
		each.Times--
		return *each
	}
	return fault{}
}

// atOnce does what happens before the answer; true: the request is over.
func (f fault) atOnce(w http.ResponseWriter, r *http.Request) bool {
	switch f.Kind {
	case "slow":
		pause(r, time.Duration(f.Ms)*time.Millisecond)
		return r.Context().Err() != nil
	case "status":
		if f.Status == 429 || f.Status == 503 {
			w.Header().Set("Retry-After", "1")
		}
		fail(w, f.Status, "planned failure")
		return true
	case "die", "stall", "half", "garbage":
		if f.After == 0 {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			f.midway(w, r, []byte("data: {\"id\":\"chatcmpl-0\",\"object\":\"chat.com"))
			return true
		}
	}
	return false
}

// midway does what happens within an answer; event is the one that comes next.
func (f fault) midway(w http.ResponseWriter, r *http.Request, event []byte) {
	switch f.Kind {
	case "stall":
		<-r.Context().Done()
	case "half":
		_, _ = w.Write(event[:len(event)*3/4])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "garbage":
		_, _ = w.Write([]byte("<html>\x00\xff\xfe no event \n\ndata: {\"choices\": [{\n\n: \n\nid\n\n{}\n\n"))
		_ = http.NewResponseController(w).Flush()
	default:
		if f.Reset {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
				_ = conn.Close()
				return
			}
		}
		panic(http.ErrAbortHandler)
	}
}

// pause waits, or until the client is gone.
func pause(r *http.Request, duration time.Duration) {
	if duration <= 0 {
		return
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}
