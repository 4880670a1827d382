# The image that ships is FROM scratch: one static binary, the certificate authorities, no shell, user 65532, nothing it must write.
#   docker build -t onelogin-kafka .
# VERSION and COMMIT are for where the context has no .git; else git is asked.
FROM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
ARG COMMIT
RUN flags=$(scripts/version.sh) && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $flags" -o /out/onelogin-kafka ./cmd/onelogin-kafka \
 && mkdir -p /out/var/connectors

FROM scratch AS runtime
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/var /var/lib/onelogin-kafka
COPY --from=build /out/onelogin-kafka /usr/local/bin/onelogin-kafka
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/onelogin-kafka"]
CMD ["run", "--config", "/etc/onelogin-kafka/onelogin-kafka.yaml"]

# For docker-compose.yml only: with a tool to ask for health, since the console listens on loopback.
FROM runtime AS compose
COPY --from=busybox:1.37.0-musl /bin/busybox /busybox

FROM runtime
