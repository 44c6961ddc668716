package webhooks

import "pollux/cache"

// vault seals what the outbox keeps. Each value is bound to what it is and to
// its id: moved elsewhere it cannot be opened.
type vault struct{ secret *cache.Secret }

// Kinds of sealed values.
const (
	sealedWebhook = "webhook"
	sealedPayload = "payload"
	sealedState   = "state"
)

func (v vault) ids(kind, id string) (room, key cache.ID) {
	return v.secret.Sum("webhooks", "room"), v.secret.Sum("webhooks", kind, id)
}

func (v vault) seal(kind, id string, plain []byte) []byte {
	room, key := v.ids(kind, id)
	return v.secret.Seal(nil, &room, &key, plain)
}

func (v vault) open(kind, id string, sealed []byte) ([]byte, error) {
	room, key := v.ids(kind, id)
	return v.secret.Open(nil, &room, &key, sealed)
}
