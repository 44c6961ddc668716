package cache

import (
	"encoding/binary"
	"time"

	"github.com/zeebo/xxh3"
)

// Slots is into how many parts the keys are cut that are shared out among the
// members of a cluster.
const Slots = 1024

// Slot is the part in which a key is.
func Slot(key *ID) int { return int(binary.BigEndian.Uint16(key[:]) % Slots) }

// Member is one process of a cluster.
type Member struct {
	ID      string
	Version string    // of the program
	Started time.Time // by its own clock
}

// Members is who shares a store at a moment, and who of them looks after which
// slot. It does not change.
type Members struct {
	Self  string // the ID of this process
	All   []Member
	owned [Slots]bool // by Self
	slots map[string]int
}

// NewMembers spreads the slots over all by rendezvous hashing: a member that
// comes or goes moves its own slots only.
func NewMembers(self string, all []Member) *Members {
	m := &Members{Self: self, All: all, slots: map[string]int{}}
	for slot := range Slots {
		var owner string
		var best uint64
		for _, member := range all {
			weight := xxh3.HashStringSeed(member.ID, uint64(slot))
			if owner == "" || weight > best || weight == best && member.ID < owner {
				owner, best = member.ID, weight
			}
		}
		m.slots[owner]++
		m.owned[slot] = owner == self
	}
	return m
}

// Owns reports whether this process looks after the slot of key.
func (m *Members) Owns(key *ID) bool { return m.owned[Slot(key)] }

// Owned is how many of the Slots this process looks after.
func (m *Members) Owned() int { return m.slots[m.Self] }

// Slots is how many a member looks after.
func (m *Members) Slots(id string) int { return m.slots[id] }
