package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// messageRequest asks for a message about a task to be posted as its upstream
// would.
type messageRequest struct {
	Provider string `json:"provider"`
	ID       string `json:"id"`
	URL      string `json:"url"`
	Secret   string `json:"secret"`
}

// messenger posts messages, and follows nothing.
var messenger = &http.Client{
	Timeout:       10 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// message posts what the upstream would say of a task to a webhook, signed with
// a secret. It is an error unless the receiver takes it.
func (s *Server) message(w http.ResponseWriter, r *http.Request) error {
	var m messageRequest
	if err := decode(w, r, &m); err != nil {
		return err
	}
	u := s.upstreams[m.Provider]
	if u == nil || u.sim.Message == nil {
		return errors.New("the provider is not simulated, or sends no messages")
	}
	t, known := u.named(m.ID)
	if !known {
		return errors.New("there is no such task")
	}
	now := s.opts.Now()
	c := &scene{sim: u.sim, task: t, params: t.params, now: now, nonce: s.requests.Add(1), base: BaseURL(r.Host, m.Provider)}
	a := c.render(*u.sim.Message, http.StatusOK)
	header := headerOf(a)
	query, ok := u.provider.Inbound.Sign(header, a.body, m.Secret, now)
	if !ok {
		return errors.New("the provider signs with a key of its own, which is not simulated")
	}
	receiver, err := url.Parse(m.URL)
	if err != nil || receiver.Host == "" {
		return errors.New("url wants an absolute URL")
	}
	receiver.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, receiver.String(), bytes.NewReader(a.body))
	if err != nil {
		return errors.New("url wants an absolute URL")
	}
	request.Header = header
	response, err := messenger.Do(request)
	if err != nil {
		return errors.New("the receiver cannot be reached")
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the receiver answered %d", response.StatusCode)
	}
	return nil
}

// named returns a copy of the task with that id.
func (u *upstream) named(id string) (task, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.tasks[id]
	if t == nil {
		return task{}, false
	}
	return *t, true
}
