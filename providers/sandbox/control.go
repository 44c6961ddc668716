package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"
)

// maxSeeded bounds the tasks that one request may seed.
const maxSeeded = 10_000

// span is a time.Duration that JSON writes as "2s".
type span time.Duration

func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = span(d)
	return err
}

func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// faultJSON is a fault as it is asked for, and as it is listed.
type faultJSON struct {
	Provider string  `json:"provider,omitempty"`
	Route    string  `json:"route,omitempty"`
	Kind     string  `json:"kind"`
	Ratio    float64 `json:"ratio,omitempty"`
	Delay    span    `json:"delay,omitempty"`
	For      span    `json:"for,omitempty"` // in a list, for how much longer
}

type taskRequest struct {
	Provider   string            `json:"provider"`
	ID         string            `json:"id"`
	Params     map[string]string `json:"params"`
	Credential string            `json:"credential"` // "" lets every credential see the task
	Lifecycle  string            `json:"lifecycle"`
	BodyBytes  int               `json:"body_bytes"`
	Count      int               `json:"count"` // 0 means 1
}

type keyRequest struct {
	Credential string `json:"credential"`
}

// control answers requests under /_sandbox/. Whoever reaches the server may
// make them: a sandbox listens on loopback.
func (s *Server) control(w http.ResponseWriter, r *http.Request, path string) {
	var reply any
	var err error
	switch r.Method + " " + path {
	case "POST faults":
		var f faultJSON
		if err = decode(w, r, &f); err == nil {
			err = s.AddFault(Fault{
				Provider: f.Provider, Route: f.Route, Kind: f.Kind, Ratio: f.Ratio,
				Delay: time.Duration(f.Delay), For: time.Duration(f.For),
			})
		}
	case "GET faults":
		reply = map[string][]faultJSON{"faults": s.activeFaults()}
	case "DELETE faults":
		s.ClearFaults(r.URL.Query().Get("provider"))
	case "POST tasks":
		reply, err = s.seed(w, r)
	case "POST messages":
		err = s.message(w, r)
	case "POST revoked", "DELETE revoked":
		var k keyRequest
		if err = decode(w, r, &k); err == nil {
			s.keys.set(k.Credential, r.Method == http.MethodPost)
		}
	case "GET stats":
		reply = s.Stats()
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if reply == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(reply) // the caller hung up; there is nobody to tell
}

// seed makes the tasks that a request asks for.
func (s *Server) seed(w http.ResponseWriter, r *http.Request) (any, error) {
	var t taskRequest
	if err := decode(w, r, &t); err != nil {
		return nil, err
	}
	count := max(1, t.Count)
	if count > maxSeeded || count > 1 && t.ID != "" || t.BodyBytes < 0 || t.BodyBytes > 64<<20 {
		return nil, fmt.Errorf("count is at most %d, and 1 with an id; body_bytes is at most 64 MiB", maxSeeded)
	}
	params := map[string]string{}
	maps.Copy(params, t.Params)
	if u := s.upstreams[t.Provider]; u != nil && t.ID != "" {
		params[u.idName] = t.ID
	}
	reply := struct {
		IDs []string `json:"ids"`
	}{make([]string, 0, count)}
	for range count {
		id, err := s.create(t.Provider, params, t.Credential, t.Lifecycle, t.BodyBytes)
		if err != nil {
			return nil, err
		}
		reply.IDs = append(reply.IDs, id)
	}
	return reply, nil
}

// decode reads a JSON body strictly.
func decode(w http.ResponseWriter, r *http.Request, out any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return fmt.Errorf("want a JSON object of this kind: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("want one JSON object")
	}
	return nil
}
