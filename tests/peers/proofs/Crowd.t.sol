// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base, Money} from "../src/Base.sol";
import {Code} from "../src/Code.sol";
import {House} from "./NetSum.t.sol";

// The sum of nets for crowds: what three members' proof says, for 40 members and long histories.
contract Crowd is Base {
    uint256 constant MEMBERS = 40;
    House house;
    Money money;

    function setUp() public {
        money = new Money();
        house = House(
            deployed(
                bytes.concat(
                    Code.ClearingHouse,
                    abi.encode(address(this), address(this), bytes32(uint256(1)), 0, 0, 0, 1)
                )
            )
        );
        house.list_token(address(money), 0);
        for (uint256 i = 0; i < MEMBERS; i++) {
            house.set_member(address(money), member(i), true);
            vm.prank(member(i));
            house.set_mandate(address(money), type(uint96).max, type(uint32).max);
            money.mint(address(this), 1e18);
            house.deposit(address(money), member(i), 1e18);
        }
    }

    function member(uint256 i) internal pure returns (address) {
        return address(uint160(0x1000 + i));
    }

    // Every settlement of a chain of them moves what it says or nothing; the total never moves.
    function testFuzz_chain(uint256 seed, uint8 length) public {
        uint256 sequence = 1;
        for (uint256 step = 0; step < length % 8; step++) {
            seed = uint256(keccak256(abi.encode(seed)));
            if (settle(sequence, seed)) sequence++;
        }
    }

    // Whatever is off by one unit anywhere is refused.
    function testFuzz_one_unit_off(uint256 seed, uint8 at, bool more) public {
        uint256[] memory nets = rows(seed, true);
        vm.assume(nets.length > 1);
        uint256 i = at % nets.length;
        int96 amount = int96(uint96(nets[i])) + (more ? int96(1) : int96(-1));
        vm.assume(amount != 0);
        nets[i] = ((nets[i] >> 96) << 96) | uint96(amount);
        assert(!sent(1, nets));
    }

    function settle(uint256 sequence, uint256 seed) internal returns (bool passed) {
        uint256[] memory nets = rows(seed, seed % 4 != 0);
        int256[] memory next = new int256[](nets.length);
        int256 sum = 0;
        bool covered = true;
        for (uint256 i = 0; i < nets.length; i++) {
            int256 amount = int96(uint96(nets[i]));
            sum += amount;
            next[i] = int256(house.balance_of(address(money), address(uint160(nets[i] >> 96)))) + amount;
            covered = covered && next[i] >= 0;
        }
        passed = sent(sequence, nets);
        assert(passed == (sum == 0 && covered));
        for (uint256 i = 0; passed && i < nets.length; i++) {
            address who = address(uint160(nets[i] >> 96));
            assert(house.balance_of(address(money), who) == uint256(next[i]));
        }
        assert(house.total_of(address(money)) == MEMBERS * 1e18);
    }

    // Some of the members in order, with amounts up to half a deposit; the last row balances them.
    function rows(uint256 seed, bool balanced) internal pure returns (uint256[] memory nets) {
        nets = new uint256[](MEMBERS);
        uint256 count = 0;
        int256 sum = 0;
        for (uint256 i = 0; i < MEMBERS - 1; i++) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            int256 amount = int256(dice % 1e18) - 5e17;
            if (dice >> 255 == 1 || amount == 0) continue;
            nets[count++] = row(i, amount);
            sum += amount;
        }
        if (balanced && sum != 0) nets[count++] = row(MEMBERS - 1, -sum);
        assembly {
            mstore(nets, count)
        }
    }

    function row(uint256 i, int256 amount) internal pure returns (uint256) {
        return (uint256(uint160(member(i))) << 96) | uint96(int96(amount));
    }

    function sent(uint256 sequence, uint256[] memory nets) internal returns (bool) {
        bytes32 cycle = keccak256(abi.encode(sequence, nets));
        try house.settle(address(money), sequence, cycle, 0, 1, nets, "", 0, 0) {
            return true;
        } catch {
            return false;
        }
    }
}
