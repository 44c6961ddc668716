package client

import (
	"pollux/cmd/pollux/console"
	"pollux/normalize"
)

// statusStyle is how a status looks: red is failed, and nothing else is.
func statusStyle(s normalize.Status) console.Style {
	switch s {
	case normalize.Completed:
		return console.Good
	case normalize.Failed, normalize.TimedOut:
		return console.Bad
	case normalize.RequiresAction, normalize.Incomplete:
		return console.Caution
	case normalize.InProgress:
		return console.Running
	}
	return console.Plain
}
