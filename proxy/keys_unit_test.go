package proxy

import "fmt"

func ExampleNewKey() {
	plain, hash := NewKey()
	stored, _ := parseKey(hash)
	sent, _ := parseKey(plain)
	fmt.Println(stored == sent, len(hash))
	// Output: true 71
}
