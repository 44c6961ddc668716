package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// sign returns webhook-timestamp and webhook-signature of one attempt: for each
// secret a symmetric signature over id, time and body (Standard Webhooks 1.0,
// https://www.standardwebhooks.com).
func sign(id string, at time.Time, body []byte, secrets [][]byte) (timestamp, signature string) {
	timestamp = strconv.FormatInt(at.Unix(), 10)
	var all []string
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return timestamp, strings.Join(all, " ")
}
