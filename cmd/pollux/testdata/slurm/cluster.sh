#!/usr/bin/env bash
# Starts a Slurm cluster of one node on loopback, as root, with everything it
# writes below a directory, and ends it when its standard input does.
# usage: cluster.sh DIR CONTROLLER_PORT NODE_PORT REST_PORT
set -euo pipefail
dir=$1
host=$(hostname -s)
mkdir -p "$dir"/{state,spool,munge,log}
chmod 755 "$dir"
dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
dd if=/dev/urandom of="$dir/jwt" bs=32 count=1 status=none
chown -R munge: "$dir/munge"
chmod 711 "$dir/munge" # everybody may reach the socket
chmod 400 "$dir/munge/key"
chmod 600 "$dir/jwt"
cat > "$dir/slurm.conf" <<CONF
ClusterName=pollux
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=$dir/jwt
SlurmctldPort=$2
SlurmdPort=$3
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/slurmd
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=2
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 CoresPerSocket=16 RealMemory=1000 State=UNKNOWN
SlurmdParameters=config_overrides
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
CONF
export SLURM_CONF=$dir/slurm.conf
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
{
	runuser -u munge -- munged -F --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
		--pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" &
	for _ in $(seq 100); do
		[[ -S $dir/munge/socket ]] && break
		sleep 0.1
	done
	slurmctld -D &
	slurmd -D &
	SLURM_JWT=daemon SLURMRESTD_SECURITY=disable_user_check \
		slurmrestd -a rest_auth/jwt -s openapi/v0.0.38 "127.0.0.1:$4" &
} > "$dir/log/out" 2>&1 < /dev/null
cat > /dev/null # until whoever started it is gone
