// The order in which a name's addresses are tried: families by turns, nothing lost, nothing twice.
#include "ops/address_order.hpp"
#include "unit.hpp"

#include <cstring>
#include <string>
#include <vector>

using ferry::ops::interleave;

namespace {

// "6a 4b" is an IPv6 address a and an IPv4 address b.
std::vector<ferry_address> addresses_of(const std::string &text) {
    std::vector<ferry_address> addresses;
    for (size_t i = 0; i + 1 < text.size(); i += 3) {
        ferry_address address = {};
        address.family = text[i] == '4' ? FERRY_IPV4 : FERRY_IPV6;
        address.bytes[0] = static_cast<uint8_t>(text[i + 1]);
        addresses.push_back(address);
    }
    return addresses;
}

std::string text_of(const std::vector<ferry_address> &addresses) {
    std::string text;
    for (const ferry_address &address : addresses) {
        text += text.empty() ? "" : " ";
        text += address.family == FERRY_IPV4 ? '4' : '6';
        text += static_cast<char>(address.bytes[0]);
    }
    return text;
}

std::string ordered(const std::string &text, size_t most = 64) {
    std::vector<ferry_address> given = addresses_of(text);
    std::vector<ferry_address> out(most + 1);
    size_t count = interleave(given.data(), given.size(), out.data(), most);
    assert_true(count <= most);
    out.resize(count);
    return text_of(out);
}

void families_take_turns(void **) {
    assert_string_equal(ordered("6a 6b 6c 4a 4b 4c").c_str(), "6a 4a 6b 4b 6c 4c");
    assert_string_equal(ordered("4a 4b 4c 6a 6b 6c").c_str(), "4a 6a 4b 6b 4c 6c");
    assert_string_equal(ordered("6a 4a 6b 4b").c_str(), "6a 4a 6b 4b");
}

void the_first_stays_the_first(void **) {
    assert_string_equal(ordered("4a 6a 6b 6c").c_str(), "4a 6a 6b 6c");
    assert_string_equal(ordered("6a 4a 4b 4c").c_str(), "6a 4a 4b 4c");
    assert_string_equal(ordered("6a 6b 4a").c_str(), "6a 4a 6b");
}

void what_is_left_of_one_family_follows(void **) {
    assert_string_equal(ordered("6a 6b 6c 6d 4a").c_str(), "6a 4a 6b 6c 6d");
    assert_string_equal(ordered("6a 4a 4b 4c 6b 4d").c_str(), "6a 4a 6b 4b 4c 4d");
}

void one_family_keeps_its_order(void **) {
    assert_string_equal(ordered("4c 4a 4b").c_str(), "4c 4a 4b");
    assert_string_equal(ordered("6c").c_str(), "6c");
    assert_string_equal(ordered("").c_str(), "");
}

// What is cut off is cut off after the turns: both families are among the rest.
void no_more_than_wanted(void **) {
    assert_string_equal(ordered("6a 6b 6c 6d 4a 4b", 3).c_str(), "6a 4a 6b");
    assert_string_equal(ordered("6a 6b 6c 6d 4a 4b", 1).c_str(), "6a");
    assert_string_equal(ordered("6a 4a", 0).c_str(), "");
}

// Against rules that are simple to check, for whatever there is.
void every_address_comes_once(void **) {
    unit::Random random = unit::random();
    for (uint64_t round = 0; round < unit::rounds(20000); ++round) {
        std::vector<ferry_address> given(random.below(40));
        for (size_t i = 0; i < given.size(); ++i) {
            given[i] = {};
            given[i].family = random.one_in(2) ? FERRY_IPV4 : FERRY_IPV6;
            given[i].bytes[0] = static_cast<uint8_t>(i);
        }
        std::vector<ferry_address> out(given.size() + 1);
        size_t count = interleave(given.data(), given.size(), out.data(), out.size());
        assert_int_equal(count, given.size());
        size_t left[2] = {0, 0};
        for (const ferry_address &address : given)
            ++left[address.family == FERRY_IPV4];
        int last[2] = {-1, -1};
        for (size_t i = 0; i < count; ++i) {
            bool v4 = out[i].family == FERRY_IPV4;
            assert_int_equal(out[i].family, given[out[i].bytes[0]].family);
            assert_true(out[i].bytes[0] > last[v4]); // Its family's order; so each comes once.
            last[v4] = out[i].bytes[0];
            // The same family again only when the other one is used up.
            if (i > 0 && out[i].family == out[i - 1].family)
                assert_int_equal(left[!v4], 0);
            --left[v4];
        }
        if (count > 0)
            assert_int_equal(out[0].bytes[0], 0);
    }
}

} // namespace

int main(int argc, char **argv) {
    unit::choose_seed(argc, argv);
    const CMUnitTest tests[] = {
        UNIT_TEST(families_take_turns),
        UNIT_TEST(the_first_stays_the_first),
        UNIT_TEST(what_is_left_of_one_family_follows),
        UNIT_TEST(one_family_keeps_its_order),
        UNIT_TEST(no_more_than_wanted),
        UNIT_TEST(every_address_comes_once),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
