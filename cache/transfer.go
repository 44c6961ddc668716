package cache

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
)

// Record is one thing that a store holds on its way to another store or to a
// backup. Its Value is sealed as it is stored.
type Record struct {
	Kind  RecordKind
	ID    []byte // of a task its key, of a partition its id, of the others their names
	Of    []byte // of a task its partition, of a delivery its webhook
	Event []byte // of a delivery
	Value []byte // an entry, a state of a partition, a webhook, a state of a delivery, a payload
}

// RecordKind is what a Record is of.
type RecordKind byte

// The kinds, in the order in which a store has to be given them.
const (
	PartitionRecord RecordKind = 1 + iota
	TaskRecord
	WebhookRecord
	EventRecord
	DeliveryRecord
)

// Export hands over everything that a store holds, all of one moment, kind by
// kind in their order. A record is good until each returns.
type Export func(ctx context.Context, each func(*Record) error) error

// Tally is how many records of each kind there are.
type Tally [DeliveryRecord + 1]int

// String says how much that is.
func (t Tally) String() string {
	return fmt.Sprintf("%d tasks, %d partitions, %d webhooks, %d deliveries", t[TaskRecord], t[PartitionRecord], t[WebhookRecord], t[DeliveryRecord])
}

// backupHeader begins every backup; the digit is the version of its format.
const backupHeader = "pollux backup 1\n"

// maxField bounds a field of a backup, as stores bound a value.
const maxField = 1 << 30

// ErrBackup is returned for what is no whole backup.
var ErrBackup = errors.New("not a whole backup")

// WriteBackup writes everything that export hands over: a header, each record
// as its kind and its fields after their lengths, then a zero, the Tally, and
// the SHA-256 of all that.
func WriteBackup(ctx context.Context, w io.Writer, export Export) (Tally, error) {
	var tally Tally
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	_, _ = out.WriteString(backupHeader) // its errors come with Flush
	err := export(ctx, func(r *Record) error {
		tally[r.Kind]++
		_ = out.WriteByte(byte(r.Kind))
		for _, field := range [...][]byte{r.ID, r.Of, r.Event, r.Value} {
			_, _ = out.Write(binary.AppendUvarint(out.AvailableBuffer(), uint64(len(field))))
			_, _ = out.Write(field)
		}
		return ctx.Err()
	})
	if err != nil {
		return tally, err
	}
	_ = out.WriteByte(0)
	for _, n := range tally {
		_, _ = out.Write(binary.AppendUvarint(out.AvailableBuffer(), uint64(n)))
	}
	if err := out.Flush(); err != nil {
		return tally, err
	}
	_, err = w.Write(sum.Sum(nil))
	return tally, err
}

// ReadBackup hands over what WriteBackup wrote. That it is whole is known at the
// end only: check it with an each that does nothing before using it.
func ReadBackup(ctx context.Context, r io.Reader, each func(*Record) error) (Tally, error) {
	in := backupReader{in: bufio.NewReaderSize(r, 1<<20), sum: sha256.New()}
	var tally Tally
	if header := in.bytes(uint64(len(backupHeader))); string(header) != backupHeader {
		return tally, fmt.Errorf("%w: it does not begin as one, or is of another version", ErrBackup)
	}
	for kind := in.byte(); kind != 0; kind = in.byte() {
		record := Record{Kind: RecordKind(kind), ID: in.field(), Of: in.field(), Event: in.field(), Value: in.field()}
		if in.err != nil || record.Kind > DeliveryRecord {
			break
		}
		tally[record.Kind]++
		if err := errors.Join(each(&record), ctx.Err()); err != nil {
			return tally, err
		}
	}
	var counted Tally
	for i := range counted {
		counted[i] = int(in.uvarint())
	}
	sum := in.sum.Sum(nil)
	if end := in.bytes(sha256.Size); in.err != nil || counted != tally || !bytes.Equal(sum, end) {
		return tally, fmt.Errorf("%w: it is cut or damaged", ErrBackup)
	}
	return tally, nil
}

// backupReader reads fields, and after the first error zeros.
type backupReader struct {
	in  *bufio.Reader
	sum hash.Hash
	err error
}

func (r *backupReader) ReadByte() (byte, error) {
	b, err := r.in.ReadByte()
	if err == nil {
		r.sum.Write([]byte{b})
	}
	return b, err
}

func (r *backupReader) byte() byte {
	b, err := r.ReadByte()
	if err != nil {
		r.err = err
	}
	return b
}

func (r *backupReader) uvarint() uint64 {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		r.err = err
	}
	return n
}

func (r *backupReader) bytes(n uint64) []byte {
	if r.err != nil || n > maxField {
		r.err = errTruncated
		return nil
	}
	var b bytes.Buffer // grows with what is there, not with what a length claims
	if _, err := io.CopyN(&b, r.in, int64(n)); err != nil {
		r.err = err
	}
	r.sum.Write(b.Bytes())
	return b.Bytes()
}

func (r *backupReader) field() []byte { return r.bytes(r.uvarint()) }

// importers is how many tasks are on their way to a store at once, so that they
// share its transactions.
const importers = 64

// Import gives store and outbox all that records hands over, and returns how
// many records there were. What cannot be opened under secret is an error; a
// newer entry that stands already is not replaced.
func Import(ctx context.Context, store Store, outbox Outbox, secret *Secret, records Export) (Tally, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := importer{store: store, outbox: outbox, secret: secret, events: map[string][]byte{}, tasks: make(chan *Entry, importers)}
	var writers sync.WaitGroup
	for range importers {
		writers.Go(func() {
			for e := range m.tasks {
				if _, err := store.Put(ctx, e); err != nil && !errors.Is(err, ErrForgotten) {
					cancel(fmt.Errorf("write task: %w", err))
				}
			}
		})
	}
	err := records(ctx, func(r *Record) error { return m.take(ctx, r) })
	close(m.tasks)
	writers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return m.tally, cause
	}
	if err == nil {
		err = m.flush(ctx)
	}
	if advances, ok := store.(interface {
		Advance(ctx context.Context, version uint64) error
	}); ok && err == nil {
		err = advances.Advance(ctx, m.last)
	}
	return m.tally, err
}

// importer is an Import under way.
type importer struct {
	store  Store
	outbox Outbox
	secret *Secret
	tally  Tally
	events map[string][]byte // payloads, until the deliveries came
	tasks  chan *Entry
	last   uint64 // the largest version
}

var errOtherKey = errors.New("a value cannot be opened: the store key must be the one that it was sealed with")

func (m *importer) take(ctx context.Context, r *Record) error {
	m.tally[r.Kind]++
	id, of, err := idOf(r.ID), idOf(r.Of), error(nil)
	switch r.Kind {
	case PartitionRecord:
		state, err := m.secret.OpenPartition(&id, r.Value, time.Now())
		if err != nil {
			return errOtherKey
		}
		m.store.PutPartition(&id, state)
		if m.tally[r.Kind]%1000 == 0 { // before there are more than a store keeps waiting
			return m.flush(ctx)
		}
	case TaskRecord:
		e, err := m.secret.OpenEntry(&of, &id, bytes.Clone(r.Value), time.Now())
		if err != nil {
			return errOtherKey
		}
		m.last = max(m.last, e.Version)
		select {
		case m.tasks <- e:
		case <-ctx.Done():
		}
	case WebhookRecord:
		err = m.outbox.PutWebhook(ctx, Webhook{ID: string(r.ID), Value: bytes.Clone(r.Value)})
	case EventRecord:
		m.events[string(r.ID)] = bytes.Clone(r.Value)
	case DeliveryRecord:
		err = m.outbox.AddDelivery(ctx, Delivery{
			ID: string(r.ID), Webhook: string(r.Of), Event: string(r.Event), Payload: m.events[string(r.Event)], State: bytes.Clone(r.Value),
		})
	}
	return err
}

// flush waits until everything before is durable: what a Delete of nothing is
// after, is.
func (m *importer) flush(ctx context.Context) error {
	_, err := m.store.Delete(ctx, &ID{}, 0)
	return err
}

func idOf(b []byte) (id ID) {
	copy(id[:], b)
	return id
}
