package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

// someRecords hands over a few of each kind.
func someRecords(_ context.Context, each func(*Record) error) error {
	for kind := PartitionRecord; kind <= DeliveryRecord; kind++ {
		for n := range 5 {
			r := &Record{Kind: kind, ID: fmt.Append(nil, "id", n), Of: []byte("of"), Value: bytes.Repeat([]byte{byte(n)}, n*1000)}
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestBackupRoundTrip(t *testing.T) {
	var file bytes.Buffer
	written, err := WriteBackup(t.Context(), &file, someRecords)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	note := func(into *[]string) func(r *Record) error {
		return func(r *Record) error {
			*into = append(*into, fmt.Sprintf("%d %s %s %s %d", r.Kind, r.ID, r.Of, r.Event, len(r.Value)))
			return nil
		}
	}
	if err := someRecords(t.Context(), note(&want)); err != nil {
		t.Fatal(err)
	}
	read, err := ReadBackup(t.Context(), bytes.NewReader(file.Bytes()), note(&got))
	if err != nil || read != written || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, %v: %v, want %v: %v", read, err, got, written, want)
	}
}

// TestDamagedBackup: a backup that is cut, or in which any bit is another, is
// none.
func TestDamagedBackup(t *testing.T) {
	var file bytes.Buffer
	if _, err := WriteBackup(t.Context(), &file, someRecords); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	check := func(what string, data []byte) {
		t.Helper()
		if _, err := ReadBackup(t.Context(), bytes.NewReader(data), func(*Record) error { return nil }); !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %v, want ErrBackup", what, err)
		}
	}
	check("nothing", nil)
	check("a diary", []byte("my diary, which is of no use to anybody else"))
	for n := 0; n < len(whole); n += 97 {
		check(fmt.Sprintf("cut to %d bytes", n), whole[:n])
		flipped := bytes.Clone(whole)
		flipped[n] ^= 1 << (n % 8)
		check(fmt.Sprintf("a bit of byte %d", n), flipped)
	}
}
