#!/usr/bin/env bash
# submit.sh MEGABYTES SCRIPT: a job of Kubernetes that runs a script of the shared volume; prints the job's name.
set -euo pipefail
kubectl create -o jsonpath='{.metadata.name}' -f - <<EOF
apiVersion: batch/v1
kind: Job
metadata:
  generateName: dtl-
spec:
  backoffLimit: 0
  ttlSecondsAfterFinished: 86400
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: job
          image: "${DTL_IMAGE:?the image to run, with the environment}"
          command: ["bash", "$2"]
          workingDir: "$PWD"
          env: [{name: DTL_RESULTS, value: "${DTL_RESULTS:-$PWD/results}"}]
          resources:
            requests: {cpu: "1", memory: "$1M"}
            limits: {memory: "$1M"}
          volumeMounts: [{name: work, mountPath: "${DTL_MOUNT:?where the volume is mounted}"}]
      volumes: [{name: work, persistentVolumeClaim: {claimName: "${DTL_CLAIM:?the claim of the shared volume}"}}]
EOF
