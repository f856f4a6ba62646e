// Golden values for the audit log from Go's own transparency log, the one behind the checksum database of Go modules:
// golang.org/x/mod/sumdb/tlog for the tree and its proofs (RFC 6962), golang.org/x/mod/sumdb/note for signed notes.
// See README.md for how to run it; it writes the same bytes each time.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type inclusion struct {
	Index  int64    `json:"index"`
	Size   int64    `json:"size"`
	Hashes []string `json:"hashes"`
}

type consistency struct {
	First  int64    `json:"first"`
	Second int64    `json:"second"`
	Hashes []string `json:"hashes"`
}

type fixture struct {
	Reference   string        `json:"reference"`
	Leaves      []string      `json:"leaves"`
	Roots       []string      `json:"roots"`
	Inclusion   []inclusion   `json:"inclusion"`
	Consistency []consistency `json:"consistency"`
	Secret      string        `json:"secret"`
	Verifier    string        `json:"verifier"`
	Witness     string        `json:"witness"`
	Notes       []string      `json:"notes"`
}

// The leaves of the tests of certificate-transparency's reference implementation, for the first eight.
var reference = []string{
	"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
}

type store []tlog.Hash

func (s store) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		hashes = append(hashes, s[index])
	}
	return hashes, nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func texts(hashes []tlog.Hash) []string {
	list := []string{}
	for _, hash := range hashes {
		list = append(list, hash.String())
	}
	return list
}

func main() {
	const all, proven = 70, 18
	out := fixture{Reference: "golang.org/x/mod v0.7.0 sumdb/tlog and sumdb/note"}
	var stored store
	empty := sha256.Sum256(nil)
	// The library has no root for the tree without leaves; RFC 6962 says SHA-256 of nothing.
	out.Roots = []string{base64.StdEncoding.EncodeToString(empty[:])}
	for index := int64(0); index < all; index++ {
		leaf := bytes.Repeat([]byte{byte(index)}, int(index))
		if int(index) < len(reference) {
			var err error
			leaf, err = hex.DecodeString(reference[index])
			check(err)
		}
		out.Leaves = append(out.Leaves, hex.EncodeToString(leaf))
		hashes, err := tlog.StoredHashes(index, leaf, stored)
		check(err)
		stored = append(stored, hashes...)
		root, err := tlog.TreeHash(index+1, stored)
		check(err)
		out.Roots = append(out.Roots, root.String())
	}
	sizes := []int64{}
	for size := int64(1); size <= proven; size++ {
		sizes = append(sizes, size)
	}
	for _, size := range append(sizes, 33, 64, 70) {
		for index := int64(0); index < size; index++ {
			if size > proven && index%7 != 0 && index != size-1 {
				continue
			}
			proof, err := tlog.ProveRecord(size, index, stored)
			check(err)
			out.Inclusion = append(out.Inclusion, inclusion{index, size, texts(proof)})
			proof, err = nil, nil
			if first := index + 1; first < size {
				tree, err := tlog.ProveTree(size, first, stored)
				check(err)
				out.Consistency = append(out.Consistency, consistency{first, size, texts(tree)})
			}
		}
	}

	key := func(fill byte, name string) (string, string, note.Signer) {
		secret, verifier, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{fill}, 64)), name)
		check(err)
		signer, err := note.NewSigner(secret)
		check(err)
		return secret, verifier, signer
	}
	secret, verifier, signer := key(7, "walet.example/audit")
	_, witness, second := key(9, "witness.example/w1")
	out.Secret, out.Verifier, out.Witness = secret, verifier, witness
	for _, size := range []int{0, 1, 8, 70} {
		text := fmt.Sprintf("walet.example/audit\n%d\n%s\n", size, out.Roots[size])
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		check(err)
		out.Notes = append(out.Notes, string(signed))
	}
	// One with a witness's signature before the log's own, and a line that the log adds.
	text := fmt.Sprintf("walet.example/audit\n8\n%s\nextension line\n", out.Roots[8])
	signed, err := note.Sign(&note.Note{Text: text}, second, signer)
	check(err)
	out.Notes = append(out.Notes, string(signed))

	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	check(encoder.Encode(out))
}
