#!/usr/bin/env bash
# A fleet manager, a mosquitto and three boxes on this machine, from nothing to a second release in two waves.
# Usage: try.sh FOLDER PICTURES BUNDLE NEXT
#   FOLDER        a new one, for everything that is made
#   PICTURES      folder of pictures, which each box judges again and again
#   BUNDLE, NEXT  two versions of one bundle, NAME-VERSION
# PORT (8443), BOX_PORT (8883) and INTAKE_PORT (8884) may say others. Everything ends with the script.
set -euo pipefail
work=$(realpath -m "$1") pictures=$(realpath "$2") bundle=$(realpath "$3") next=$(realpath "$4")
port=${PORT:-8443} box_port=${BOX_PORT:-8883} intake_port=${INTAKE_PORT:-8884}
mkdir "$work"
cd "$work"
mkdir logs
started=()
trap 'kill "${started[@]}" 2> /dev/null; wait' EXIT

say() { printf '\n# %s\n' "$1"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
release_of() { basename "$1" | sed 's|-\([^-]*\)$|/\1|'; }

again() { # LOG, COMMAND: so, every two seconds; a TERM ends it, and what it runs
  (
    trap 'kill $(jobs -p) 2> /dev/null || true; wait; exit' TERM
    while true; do
      "${@:2}" & wait $! || true
      sleep 2 & wait $! || true
    done
  ) > "logs/$1" 2>&1 &
  started+=($!)
}
run_agent() { if [ -d "$1/state/slots" ]; then exec edgemill agent run "$1/agent.yaml"; fi; }

say "a fleet: settings, a CA, releases and their keys; and the broker's files"
edgemill fleet init plant --url "https://127.0.0.1:$port" --listen "127.0.0.1:$port" --broker "mqtts://127.0.0.1:$box_port"
edgemill fleet broker-config plant --at 127.0.0.1 --port "$box_port" --intake-port "$intake_port" --user "$(id -un)" | sed -n 's/^  mqtt:/mqtt:/p' >> plant/fleet.yaml
PATH=$PATH:/usr/sbin mosquitto -c plant/broker/mosquitto.conf > logs/mosquitto 2>&1 &
started+=($!)
edgemill fleet serve plant > logs/serve 2>&1 &
started+=($!)
until grep -qs "the fleet answers" logs/serve; do kill -0 "${started[1]}"; sleep 0.2; done

say "two people: what one proposes the other approves"
export EDGEMILL_FLEET_ACCESS=$work/plant/admin.access.yaml
edgemill fleet token add ben --role releaser --out ben.access.yaml --here plant
ben=(--access "$work/ben.access.yaml")

say "three boxes are let in; each has a timer for updates, and an agent that starts once something is installed"
for box in box1 box2 box3; do
  mkdir "$box"
  cat > "$box/agent.yaml" << END
device: {id: $box}
fleet: {identity: auto}
stations:
  - name: cell
    bundle: release:$(release_of "$bundle" | cut -d / -f 1)
    runtime: onnxruntime
    source: {folder: "$pictures", loop: true}
    swap: {trial_parts: 20}
END
  edgemill agent enrol "$box/agent.yaml" --code "$(edgemill fleet enrol "$box" --json | field code)"
  again "$box.update" edgemill agent update "$box/agent.yaml"
  again "$box.agent" run_agent "$box"
done

roll_out() { # BUNDLE, waves: signed, proposed and approved; then in waves
  local release number
  release=$(release_of "$1")
  edgemill release publish plant/releases "$1" --key plant/keys/release --key plant/keys/online
  edgemill fleet releases propose "$release"
  edgemill fleet releases approve "$release" "${ben[@]}"
  number=$(edgemill fleet rollouts make "$release" "${@:2}" --json | field id)
  edgemill fleet rollouts approve "$number" "${ben[@]}"
  edgemill fleet rollouts watch "$number" --limit 300
}

say "the first release, to all of them"
roll_out "$bundle" --wave 100%
say "the next one, to one of them first"
roll_out "$next" --wave 33% --wave 100%
edgemill fleet devices ls

say "one is shut out; the broker hears of it"
edgemill fleet devices revoke box3
edgemill fleet broker-config plant --at 127.0.0.1 --port "$box_port" --intake-port "$intake_port" --user "$(id -un)" --reload <(echo "${started[0]}")
edgemill agent renew box3/agent.yaml --now || echo "exit code $?, as it should be"
