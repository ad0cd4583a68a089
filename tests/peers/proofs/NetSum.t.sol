// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base, Money} from "../src/Base.sol";
import {Code} from "../src/Code.sol";

interface House {
    function list_token(address token, uint256 last_sequence) external;
    function set_member(address token, address member, bool registered) external;
    function set_mandate(address token, uint256 cap_per_cycle, uint256 valid_until) external;
    function deposit(address token, address member, uint256 amount) external;
    function settle(
        address token,
        uint256 sequence,
        bytes32 cycle_id,
        bytes32 records_root,
        uint8 netting_mode,
        uint256[] calldata nets,
        bytes calldata debit_signatures,
        bytes32 rewards_root,
        uint256 rewards_amount
    ) external returns (bytes32);
    function balance_of(address token, address member) external view returns (uint256);
    function total_of(address token) external view returns (uint256);
}

// The packed sums of a settlement: for all balances and amounts of three members with mandates.
contract NetSum is Base {
    House house;
    Money money;
    address[3] members = [address(0xA1), address(0xB2), address(0xC3)];

    function setUp() public {
        money = new Money();
        // This contract owns and settles.
        house = House(
            deployed(
                bytes.concat(
                    Code.ClearingHouse,
                    abi.encode(address(this), address(this), bytes32(uint256(1)), 0, 0, 0, 1)
                )
            )
        );
        house.list_token(address(money), 0);
        for (uint256 i = 0; i < 3; i++) {
            house.set_member(address(money), members[i], true);
            vm.prank(members[i]);
            house.set_mandate(address(money), type(uint96).max, type(uint32).max);
        }
    }

    function fill(uint96[3] memory balances) internal {
        for (uint256 i = 0; i < 3; i++) {
            vm.assume(balances[i] != 0);
            money.mint(address(this), balances[i]);
            house.deposit(address(money), members[i], balances[i]);
        }
    }

    function settle(int96[3] memory amounts) internal returns (bool) {
        uint256[] memory nets = new uint256[](3);
        for (uint256 i = 0; i < 3; i++) {
            nets[i] = (uint256(uint160(members[i])) << 96) | uint96(amounts[i]);
        }
        try house.settle(address(money), 1, bytes32(uint256(7)), 0, 1, nets, "", 0, 0) {
            return true;
        } catch {
            return false;
        }
    }

    // A settlement passes exactly where the nets sum to zero, none is zero and every debit is
    // covered; then each balance moved by its net and the total stayed, else nothing moved.
    function check_net_sum(uint96[3] memory balances, int96[3] memory amounts) public {
        fill(balances);
        bool sound = int256(amounts[0]) + amounts[1] + amounts[2] == 0;
        int256[3] memory next;
        uint256 total = 0;
        for (uint256 i = 0; i < 3; i++) {
            next[i] = int256(uint256(balances[i])) + amounts[i];
            sound = sound && amounts[i] != 0 && next[i] >= 0;
            total += balances[i];
        }
        bool passed = settle(amounts);
        assert(passed == sound);
        for (uint256 i = 0; i < 3; i++) {
            uint256 wanted = passed ? uint256(next[i]) : balances[i];
            assert(house.balance_of(address(money), members[i]) == wanted);
        }
        assert(house.total_of(address(money)) == total);
    }
}
