package fleet

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/cache"
)

// cursorDomain is of the hashes to which cursors are sealed.
const cursorDomain = "cursor"

// sealCursor renders a position for the client. It is bound to the filters and
// the order of q; whose rows it leads to is decided anew with each request.
func (s *Service) sealCursor(q *listQuery, at *cache.Position) string {
	plain := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at.At)), uint64(at.Seq))
	return base64.RawURLEncoding.EncodeToString(s.secret.Seal(nil, s.cursorBox(), &q.seal, plain))
}

// openCursor is the reverse of sealCursor for q.cursor, nil if it is none of
// q's.
func (s *Service) openCursor(q *listQuery) *cache.Position {
	sealed, err := base64.RawURLEncoding.DecodeString(q.cursor)
	if err != nil {
		return nil
	}
	plain, err := s.secret.Open(nil, s.cursorBox(), &q.seal, sealed)
	if err != nil || len(plain) != 16 {
		return nil
	}
	return &cache.Position{At: int64(binary.BigEndian.Uint64(plain)), Seq: int64(binary.BigEndian.Uint64(plain[8:]))}
}

// cursorBox takes the place of a partition in the seal: cursors have a key of
// their own.
func (s *Service) cursorBox() *cache.ID {
	box := s.secret.Sum(cursorDomain)
	return &box
}

// cursorSeal stands for the filters and the order of q, as they were sent.
func (s *Service) cursorSeal(q *listQuery) cache.ID {
	return s.secret.Sum(cursorDomain,
		strings.Join(slices.Sorted(slices.Values(q.Upstreams)), ","), strings.Join(slices.Sorted(slices.Values(q.Statuses)), ","), q.Text,
		q.Since.UTC().Format(time.RFC3339Nano), q.Until.UTC().Format(time.RFC3339Nano),
		strconv.Itoa(int(q.Order))+strconv.FormatBool(q.Descending))
}
