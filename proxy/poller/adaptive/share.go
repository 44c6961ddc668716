package adaptive

import "slices"

// Processes that share what they learn hand round one account of it: each adds
// what it has learned since it last had the account in hand, and goes on from the
// sum. Nothing counts twice, and what one forgets all do.

// Share adds to an account what was learned since the last Share, takes over
// the sum, and returns it: what is added to an account that is then not kept is
// lost, which costs polls and no answer. nil is an empty account. It returns
// ErrDamaged, and leaves g as it is, when the bytes are not those of an upstream.
func (g *Groups) Share(account []byte) (sum []byte, err error) {
	var upstream *Learner
	var theirs []group
	byName := map[string]*state{}
	whole := (*state)(nil)
	if account != nil {
		if upstream, theirs, err = decodeGroups(g.policy, account); err != nil {
			return nil, err
		}
		whole = &upstream.state
	}
	for _, k := range theirs {
		byName[k.name] = &k.learner.state
	}
	s := g.upstream.share(whole)
	b := s.append([]byte(groupsTag))
	for _, k := range g.known(theirs) {
		if len(k.name) > maxName {
			continue
		}
		b = appendGroup(b, k.name, k.learner.share(byName[k.name]))
	}
	return b, nil
}

// known returns the groups that are learned apart, the one used last at the end,
// after those of theirs for which there is room.
func (g *Groups) known(theirs []group) []*group {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range slices.Backward(theirs) {
		if g.byName[k.name] == nil && len(g.byName) < g.limit {
			l := newLearner(g.policy)
			l.shared = l.state // it has learned nothing of its own
			g.byName[k.name] = g.recent.PushBack(&group{name: k.name, learner: l})
		}
	}
	all := make([]*group, 0, g.recent.Len())
	for e := g.recent.Back(); e != nil; e = e.Prev() {
		all = append(all, e.Value.(*group))
	}
	return all
}

// share adds to with what l has learned since it last shared, takes over the
// sum, and returns it. nil is what l shared last.
func (l *Learner) share(with *state) state {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, last := &l.state, &l.shared
	sum := *s
	if with != nil {
		for b := range sum.events {
			sum.events[b] = with.events[b]*s.kept + max(0, s.events[b]-last.events[b]*s.kept)
			sum.exposure[b] = with.exposure[b]*s.kept + max(0, s.exposure[b]-last.exposure[b]*s.kept)
		}
		if last.prior > prior && s.prior < last.prior {
			sum.prior = prior + (with.prior-prior)*(s.prior-prior)/(last.prior-prior)
		} else if s.prior == last.prior {
			sum.prior = with.prior
		}
		sum.price = min(max(with.price*s.price/last.price, lowestPrice), highestPrice)
	}
	if l.config.PollPrice > 0 {
		sum.price = l.policy.price
	}
	sum.kept = 1
	sum.refresh(0, bins-1)
	l.state, l.shared, l.plan.made = sum, sum, false
	if l.config.PollPrice > 0 {
		sum.price = 0
	}
	return sum
}
