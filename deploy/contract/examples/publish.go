// Publishes one WhatsApp message, waits for its result and prints it. Ends with 0 if it was accepted, with 1 otherwise.
//
//	go mod init example && go get github.com/rabbitmq/amqp091-go
//	AMQP_URL=amqp://user:password@host:5672/vhost go run publish.go PHONE_NUMBER_ID RECIPIENT
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const wait = 60 * time.Second

// RabbitMQ's own way back to this channel: it takes no queue and no more rights than to publish.
const replyTo = "amq.rabbitmq.reply-to"

func request(recipient string) (amqp.Publishing, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return amqp.Publishing{}, err
	}
	text := map[string]string{"body": "Your parcel is on its way."}
	body, err := json.Marshal(map[string]any{"to": recipient, "type": "text", "text": text})
	return amqp.Publishing{
		MessageId:    fmt.Sprintf("%x", id), // required: the request's identity
		Timestamp:    time.Now(),
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent, // survives a restart of RabbitMQ
		ReplyTo:      replyTo,
		Body:         body,
	}, err
}

func resultOf(channel *amqp.Channel, number string, request amqp.Publishing) ([]byte, error) {
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, 1))
	if err := channel.Confirm(false); err != nil {
		return nil, err
	}
	// On the channel that publishes, and before: direct replies come to no other.
	results, err := channel.Consume(replyTo, "", true, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	// Mandatory: what no queue takes comes back. Without it that would be confirmed and forgotten.
	const mandatory, immediate = true, false
	if err := channel.PublishWithContext(context.Background(), "wa.send", number, mandatory, immediate, request); err != nil {
		return nil, err
	}

	// Only a confirmed request is never lost.
	select {
	case confirmation, isOpen := <-confirmed:
		if !isOpen {
			return nil, fmt.Errorf("no confirm, publishing again may send twice: %v", <-closed)
		}
		if !confirmation.Ack {
			return nil, errors.New("not confirmed: RabbitMQ could not keep the request")
		}
	case <-time.After(wait):
		return nil, fmt.Errorf("after %s no confirm: publishing again may send twice", wait)
	}
	// It comes before its confirm.
	if len(returned) > 0 {
		return nil, errors.New("returned: no queue takes requests for this number")
	}
	select {
	case result, isOpen := <-results:
		if !isOpen {
			return nil, fmt.Errorf("do not publish again, the result comes to wa.results: %v", <-closed)
		}
		return result.Body, nil
	case <-time.After(wait):
		return nil, fmt.Errorf("after %s no result yet: do not publish again, it comes to wa.results", wait)
	}
}

func run(url, number, recipient string) ([]byte, error) {
	request, err := request(recipient)
	if err != nil {
		return nil, err
	}
	connection, err := amqp.Dial(url)
	if err != nil {
		return nil, err
	}
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	result, err := resultOf(channel, number, request)
	if err != nil {
		// The end of the process closes the connection: Close waits for RabbitMQ, which may be what does not answer.
		return nil, err
	}
	return result, connection.Close()
}

func main() {
	url := os.Getenv("AMQP_URL")
	if len(os.Args) != 3 || url == "" {
		fmt.Fprintln(os.Stderr, "usage: AMQP_URL=amqp://… publish PHONE_NUMBER_ID RECIPIENT")
		os.Exit(1)
	}
	result, err := run(url, os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(result))
	var told struct{ Status string }
	if json.Unmarshal(result, &told) != nil || told.Status != "accepted" {
		os.Exit(1)
	}
}
