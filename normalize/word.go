package normalize

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// noWord stands in a word of several for one that is absent, null or empty.
const noWord = "-"

var errStatusNotScalar = errors.New("the status is neither text nor a number nor a boolean")

// nativeWord is the status word of an answer.
type nativeWord struct {
	native  string // as the upstream wrote it; no part of the answer's text, since it is kept
	word    string // without the prefix, and spelt as in the file if it is there
	present bool
	known   bool
	OutcomeSpec
}

// readWord reads the status word of a document. The error says why there is
// none.
func (m *Mapping) readWord(d *document) (w nativeWord, err error) {
	if len(m.statusPaths) == 0 {
		return w, ErrNoStatus
	}
	natives, words := make([]string, len(m.statusPaths)), make([]string, len(m.statusPaths))
	for i, path := range m.statusPaths {
		if err := d.duplicate(m.statusKeys[i]); err != nil {
			return w, err
		}
		text, present, err := d.scalar(path)
		if err != nil {
			return w, err
		}
		w.present = w.present || present
		natives[i], words[i] = text, m.unprefixed(text)
		if len(m.statusPaths) > 1 && text == "" {
			natives[i], words[i] = noWord, noWord
		}
	}
	w.native, w.word = strings.Join(natives, " "), strings.Join(words, " ")
	for _, spelling := range slices.Compact([]string{w.word, w.native}) {
		var listed meaning
		if listed, w.known = m.words[m.folded(spelling)]; w.known {
			w.word, w.OutcomeSpec = listed.word, listed.OutcomeSpec
			break
		}
	}
	if !w.known && !w.present {
		return nativeWord{}, ErrNoStatus
	}
	if !w.known {
		w.Status = cmp.Or(m.other, Unknown)
	}
	if w.known && w.native == w.word {
		w.native = w.word // the file's own string
	} else {
		w.native = strings.Clone(w.native)
	}
	return w, nil
}

// scalar is the text of the string, number or boolean at path. What is null
// is not present.
func (d *document) scalar(path string) (text string, present bool, err error) {
	switch raw, _ := d.lookup(path); kindOf(raw) {
	case kindAbsent, kindNull:
		return "", false, nil
	case kindString:
		return decodeString(raw), true, nil
	case kindNumber, kindTrue, kindFalse:
		return raw, true, nil
	}
	return "", false, errStatusNotScalar
}

func (m *Mapping) unprefixed(word string) string {
	n := len(m.prefix)
	if n > 0 && len(word) >= n && m.folded(word[:n]) == m.folded(m.prefix) {
		return word[n:]
	}
	return word
}

// folded is how words are compared.
func (m *Mapping) folded(word string) string {
	if m.fold {
		return strings.ToLower(word)
	}
	return word
}
