package normalize

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// decimal is a JSON number as digits around a decimal point: 1.20e1 has the
// whole part "12" and the fraction "0". Leading zeros of the whole part are gone.
type decimal struct {
	negative        bool
	whole, fraction string
}

// maxExponent bounds how far an exponent may move the point. Past it there is
// no time, count or percentage, and 1e999999999 must not become digits.
const maxExponent = 64

// parseDecimal reads raw by the grammar of RFC 8259, section 6.
func parseDecimal(raw string) (decimal, bool) {
	if !isNumber(raw) {
		return decimal{}, false
	}
	var d decimal
	raw, d.negative = strings.CutPrefix(raw, "-")
	exponent := 0
	if i := strings.IndexAny(raw, "eE"); i >= 0 {
		e, err := strconv.Atoi(raw[i+1:])
		if err != nil || e > maxExponent || e < -maxExponent {
			return decimal{}, false
		}
		raw, exponent = raw[:i], e
	}
	d.whole, d.fraction, _ = strings.Cut(raw, ".")
	if exponent > 0 {
		d.fraction += strings.Repeat("0", max(0, exponent-len(d.fraction)))
		d.whole, d.fraction = d.whole+d.fraction[:exponent], d.fraction[exponent:]
	}
	if exponent < 0 {
		d.whole = strings.Repeat("0", max(0, -exponent-len(d.whole))) + d.whole
		at := len(d.whole) + exponent
		d.whole, d.fraction = d.whole[:at], d.whole[at:]+d.fraction
	}
	if d.whole = strings.TrimLeft(d.whole, "0"); d.whole == "" {
		d.whole = "0"
		d.negative = d.negative && strings.Trim(d.fraction, "0") != "" // -0 is 0
	}
	return d, true
}

// isNumber reports whether s is one JSON number and nothing else.
func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || digits(s) > 0) && digits(s[len(s)-1:]) == 1 && gjson.Valid(s)
}

// digits counts the decimal digits at the start of s.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// parseCount reads a number of steps or tokens: whole and not negative. One
// written as 12.0 or 1.2e1 is 12, so that readers may decode it as an integer.
func parseCount(raw string) (Number, bool) {
	d, ok := parseDecimal(raw)
	if !ok || d.negative || strings.Trim(d.fraction, "0") != "" {
		return "", false
	}
	return Number(d.whole), true
}

// parsePercent reads a number from 0 to 100, kept as it was written.
func parsePercent(raw string) (Number, bool) {
	d, ok := parseDecimal(raw)
	if !ok || d.negative || len(d.whole) > 3 {
		return "", false
	}
	whole, _ := strconv.Atoi(d.whole)
	if whole > 100 || whole == 100 && strings.Trim(d.fraction, "0") != "" {
		return "", false
	}
	return Number(raw), true
}

// parseAmount reads any number that a float64 can hold, kept as it was written:
// what overflows one would break whoever reads the document.
func parseAmount(raw string) (Number, bool) {
	_, err := strconv.ParseFloat(raw, 64)
	return Number(raw), err == nil && isNumber(raw)
}

// toFloat is for comparisons in conditions only; what overflows is infinite.
func toFloat(raw string) float64 {
	f, _ := strconv.ParseFloat(raw, 64)
	return f
}
