package transport

// arrival is what a peer has done unasked.
type arrival int

const (
	nothing arrival = iota
	bytesCame
	peerClosed // or the connection broke
)
