# The image that ships is FROM scratch: one static binary, the certificate authorities, no shell, user 65532, nothing it must write.
#   docker build -t onelogin-kafka .
# It reads /etc/onelogin-kafka/onelogin-kafka.yaml, or without that file the variables of docs/configuration.md.
# VERSION and COMMIT are for where the context has no .git; else git is asked.
FROM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
ARG COMMIT
RUN flags=$(scripts/version.sh) && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $flags" -o /out/onelogin-kafka ./cmd/onelogin-kafka \
 && mkdir -p /out/var

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# For a volume, which takes over whose the folder is.
COPY --from=build --chown=65532:65532 /out/var /var/lib/onelogin-kafka
COPY --from=build /out/onelogin-kafka /usr/local/bin/onelogin-kafka
WORKDIR /etc/onelogin-kafka
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["/usr/local/bin/onelogin-kafka", "health"]
ENTRYPOINT ["/usr/local/bin/onelogin-kafka"]
CMD ["run"]
