/* That this links says it all: see header_alone.in. */
int main() {
    return 0;
}
