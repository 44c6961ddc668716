package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
)

// MarshalLearned returns what each of the upstreams on schedule: adaptive has
// learned, nil if none is.
func MarshalLearned(upstreams []*Upstream) ([]byte, error) {
	all := map[string][]byte{}
	for _, u := range upstreams {
		if u.Learned.Groups == nil {
			continue
		}
		learned, err := u.Learned.Groups.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		all[u.Name] = learned
	}
	if len(all) == 0 {
		return nil, nil
	}
	return json.Marshal(all)
}

// UnmarshalLearned takes over what MarshalLearned returned, as far as it
// is of one of the upstreams. The error joins what could not be read; such upstreams
// learn anew.
func UnmarshalLearned(upstreams []*Upstream, data []byte) error {
	var all map[string][]byte
	if err := json.Unmarshal(data, &all); err != nil {
		return errors.New("not what was learned")
	}
	var faults []error
	for _, u := range upstreams {
		if learned, ok := all[u.Name]; ok && u.Learned.Groups != nil {
			if err := u.Learned.Groups.UnmarshalBinary(learned); err != nil {
				faults = append(faults, fmt.Errorf("upstream %s: %w", u.Name, err))
			}
		}
	}
	return errors.Join(faults...)
}
