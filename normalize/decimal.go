package normalize

import "math/big"

// maxDigits bounds the numbers that are reckoned with. There is no count, cost
// or percentage beyond it, and products grow with the square of their length.
const maxDigits = 200

// parseExact reads a JSON number to reckon with, exactly; false if it is none or
// beyond every use.
func parseExact(raw string) (*big.Rat, bool) {
	if d, ok := parseDecimal(raw); !ok || len(d.whole)+len(d.fraction) > maxDigits {
		return nil, false
	}
	return new(big.Rat).SetString(raw)
}

// exactText is a sum or product of such numbers as a JSON number, without an
// exponent and without zeros that say nothing.
func exactText(r *big.Rat) string {
	digits, _ := r.FloatPrec()
	return r.FloatString(digits)
}
