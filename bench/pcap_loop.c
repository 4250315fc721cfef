/* A bare libpcap read loop: the speed a reader cannot pass. Prints frames and captured bytes. */
#include <pcap/pcap.h>
#include <stdio.h>

int main(int argc, char **argv) {
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *file = argc > 1 ? pcap_open_offline(argv[1], error) : NULL;
    if (!file) {
        fprintf(stderr, "pcap_loop: %s\n", argc > 1 ? error : "no file");
        return 2;
    }
    struct pcap_pkthdr *header;
    const u_char *bytes;
    unsigned long frames = 0, sum = 0;
    while (pcap_next_ex(file, &header, &bytes) == 1) {
        frames++;
        sum += header->caplen + bytes[0];
    }
    printf("%lu frames %lu\n", frames, sum);
    return 0;
}
