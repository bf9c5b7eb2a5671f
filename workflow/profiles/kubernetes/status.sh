#!/usr/bin/env bash
# status.sh NAME: success, failed or running, as Snakemake wants it. A job that is gone has failed; one that cannot be
# asked for, because the cluster does not answer, is taken to run.
state=$(kubectl get job "$1" --ignore-not-found -o jsonpath='state {.status.succeeded}/{.status.failed}') || state=unknown
case $state in
  "state "[1-9]*) echo success ;;
  "state "*/[1-9]* | "") echo failed ;;
  *) echo running ;;
esac
