#!/usr/bin/env bash
# status.sh NAME: success, failed or running, as Snakemake wants it; a job that is gone has failed.
state=$(kubectl get job "$1" -o jsonpath='{.status.succeeded}/{.status.failed}' 2>/dev/null) || state=/1
case $state in
  [1-9]*) echo success ;;
  */[1-9]*) echo failed ;;
  *) echo running ;;
esac
