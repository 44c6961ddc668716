package cache

import (
	"fmt"
	"testing"
)

// TestMembers: every slot has one owner, shares are about equal, and who leaves
// moves its own slots only.
func TestMembers(t *testing.T) {
	var all []Member
	for n := range 5 {
		all = append(all, Member{ID: fmt.Sprintf("replica-%d", n)})
	}
	owners := func(all []Member) map[int]string {
		byslot := map[int]string{}
		for _, member := range all {
			m := NewMembers(member.ID, all)
			if m.Owned() < Slots/len(all)/2 || m.Owned() > 2*Slots/len(all) {
				t.Errorf("%s owns %d of %d slots among %d", member.ID, m.Owned(), Slots, len(all))
			}
			for slot := range Slots {
				key := ID{byte(slot >> 8), byte(slot)}
				if m.Owns(&key) {
					if other := byslot[slot]; other != "" {
						t.Errorf("slot %d belongs to %s and %s", slot, other, member.ID)
					}
					byslot[slot] = member.ID
				}
			}
		}
		if len(byslot) != Slots {
			t.Errorf("%d of %d slots have an owner", len(byslot), Slots)
		}
		return byslot
	}
	five, four := owners(all), owners(all[:4])
	for slot, owner := range five {
		if owner != "replica-4" && four[slot] != owner {
			t.Errorf("slot %d moved from %s to %s, which both stayed", slot, owner, four[slot])
		}
	}
}
