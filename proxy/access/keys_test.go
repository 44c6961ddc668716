package access

import "fmt"

func ExampleNewKey() {
	plain, hash := NewKey()
	stored, _ := ParseKey(hash)
	sent, _ := ParseKey(plain)
	fmt.Println(stored == sent, len(hash))
	// Output: true 71
}
