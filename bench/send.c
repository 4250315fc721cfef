/* Sends the frames of a pcap file (classic, little-endian) on an interface, again and again, at a steady
   rate: `send FILE INTERFACE FRAMES_A_SECOND SECONDS`. Prints how many were sent. For a cable between two
   network namespaces; never for a monitored interface. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64 };

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "send FILE INTERFACE FRAMES_A_SECOND SECONDS\n");
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (!file) {
        perror(argv[1]);
        return 2;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc(size);
    if (!data || fread(data, 1, size, file) != (size_t)size) return 2;
    struct iovec *frames = malloc(sizeof *frames * (size / 16 + 1));
    size_t count = 0;
    for (long at = 24; at + 16 <= size;) {
        uint32_t length;
        memcpy(&length, data + at + 8, 4);
        if (length > size - at - 16) break;
        frames[count++] = (struct iovec){data + at + 16, length};
        at += 16 + length;
    }
    int out = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(argv[2])};
    if (out < 0 || !to.sll_ifindex || bind(out, (struct sockaddr *)&to, sizeof to)) {
        perror(argv[2]);
        return 2;
    }
    double rate = atof(argv[3]), seconds = atof(argv[4]), start = now();
    uint64_t sent = 0, wanted = (uint64_t)(rate * seconds);
    while (sent < wanted) {
        struct mmsghdr messages[BATCH];
        unsigned batch = 0;
        for (; batch < BATCH && sent + batch < wanted; batch++) {
            messages[batch] = (struct mmsghdr){0};
            messages[batch].msg_hdr.msg_iov = &frames[(sent + batch) % count];
            messages[batch].msg_hdr.msg_iovlen = 1;
        }
        int done = sendmmsg(out, messages, batch, 0);
        if (done < 0) {
            if (errno != ENOBUFS && errno != EAGAIN) {
                perror("sendmmsg");
                return 2;
            }
            done = 0;
        }
        sent += done;
        double ahead = start + sent / rate - now();
        if (ahead > 0) {
            struct timespec wait = {0, (long)(ahead * 1e9)};
            nanosleep(&wait, NULL);
        }
    }
    printf("%llu %.1f\n", (unsigned long long)sent, sent / (now() - start));
    return 0;
}
