#!/bin/sh
# Runs inside the unpacked tree: epmd in the foreground so that its pid is known
# (unless another node of the cluster, or this one before a crash, has one), then
# the node. Everything it writes goes to its data directory, $HOME.
set -eu

mkdir -p "$HOME/mnesia" "$HOME/log"
(umask 077 && printf 'dispatcher-dev' >"$HOME/.erlang.cookie")

# The tree has no /dev/null.
if ! epmd -port "$ERL_EPMD_PORT" -names >"$HOME/epmd.names" 2>&1; then
    epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
    printf '%s\n' "$!" >"$HOME/epmd.pid"
fi

export RABBITMQ_CONFIG_FILE="$HOME/rabbitmq.conf" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$HOME/enabled_plugins" \
    RABBITMQ_MNESIA_BASE="$HOME/mnesia" \
    RABBITMQ_LOG_BASE="$HOME/log" \
    RABBITMQ_PID_FILE="$HOME/pid" \
    RABBITMQ_CONF_ENV_FILE="$HOME/none" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
exec rabbitmq-server
