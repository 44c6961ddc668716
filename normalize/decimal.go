package normalize

import (
	"math/big"
	"strings"
)

// maxDigits bounds the numbers that are reckoned with. There is no count, cost
// or percentage beyond it, and products grow with the square of their length.
const maxDigits = 200

// amount is a decimal number: digits times ten to the power of -scale.
type amount struct {
	digits *big.Int
	scale  int
}

// parseDecimalAmount reads a JSON number to reckon with; false if it is none
// or beyond every use.
func parseDecimalAmount(raw string) (amount, bool) {
	d, ok := parseDecimal(raw)
	if !ok || len(d.whole)+len(d.fraction) > maxDigits {
		return amount{}, false
	}
	digits, ok := new(big.Int).SetString(d.whole+d.fraction, 10)
	if !ok {
		return amount{}, false
	}
	if d.negative {
		digits.Neg(digits)
	}
	return amount{digits, len(d.fraction)}, true
}

func (a amount) times(b amount) amount {
	return amount{new(big.Int).Mul(a.digits, b.digits), a.scale + b.scale}
}

func (a amount) plus(b amount) amount {
	scale := max(a.scale, b.scale)
	return amount{new(big.Int).Add(a.at(scale), b.at(scale)), scale}
}

// at is the digits of a with the point moved to scale, which is not less than
// its own.
func (a amount) at(scale int) *big.Int {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-a.scale)), nil)
	return power.Mul(power, a.digits)
}

// String returns a as a JSON number, without an exponent and without zeros
// that say nothing.
func (a amount) String() string {
	text := new(big.Int).Abs(a.digits).String()
	text = strings.Repeat("0", max(0, a.scale+1-len(text))) + text
	whole, fraction := text[:len(text)-a.scale], strings.TrimRight(text[len(text)-a.scale:], "0")
	if fraction != "" {
		whole += "." + fraction
	}
	if a.digits.Sign() < 0 {
		whole = "-" + whole
	}
	return whole
}
