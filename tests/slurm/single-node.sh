#!/usr/bin/env bash
# Starts a Slurm of one node in a folder: single-node.sh FOLDER. Needs slurm-wlm (Debian) and root. Stop it with: single-node.sh FOLDER stop
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
if [ "${2:-}" = stop ]; then
  for name in slurmd slurmctld; do [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true; done
  exit 0
fi
host=$(hostname -s)
mkdir -p "$folder/state" "$folder/spool"
cat > "$folder/slurm.conf" <<CONF
ClusterName=single
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=17817
SlurmdPort=17818
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SchedulerParameters=sched_interval=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$folder/slurm.conf"
slurmctld
slurmd -N "$host"
for _ in $(seq 1 50); do
  sinfo -h -o %T 2>/dev/null | grep -q idle && { echo "$folder/slurm.conf"; exit 0; }
  sleep 0.2
done
echo "the node did not become idle; see $folder/slurmctld.log and $folder/slurmd.log" >&2
exit 1
