// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base, Money} from "../src/Base.sol";
import {Code} from "../src/Code.sol";

struct Config {
    address payer;
    address payerAuthorizer;
    address receiver;
    address receiverAuthorizer;
    address token;
    uint40 withdrawDelay;
    bytes32 salt;
}

struct Voucher {
    Config channel;
    uint128 maxClaimableAmount;
}

struct VoucherClaim {
    Voucher voucher;
    bytes signature;
    uint128 totalClaimed;
}

interface BatchChannels {
    function getChannelId(Config calldata config) external view returns (bytes32);
    function getVoucherDigest(bytes32 id, uint128 max) external view returns (bytes32);
    function channels(bytes32 id) external view returns (uint128 balance, uint128 claimed);
    function receivers(address receiver, address token)
        external
        view
        returns (uint128 claimed, uint128 settled);
    function deposit(Config calldata config, uint128 amount, address collector, bytes calldata data)
        external;
    function claim(VoucherClaim[] calldata claims) external;
    function settle(address receiver, address token) external;
    function initiateWithdraw(Config calldata config, uint128 amount) external;
    function finalizeWithdraw(Config calldata config) external;
    function refund(Config calldata config, uint128 amount) external;
}

// Two channels of one payer and one receiver, driven at random; keeps its own books.
contract Actor is Base {
    BatchChannels public channels;
    Money public money;
    uint256 constant KEY = 0xA11CE;
    address constant PAYER = address(0xBEEF);

    Config[2] configs;
    bytes32[2] public ids;
    uint256[2] public deposited;
    uint256[2] public signed;
    uint256[2] public returned;
    uint256[2] public claimed;
    uint256 public now_s = 1_800_000_000;

    constructor() {
        money = new Money();
        channels = BatchChannels(deployed(Code.BatchChannels));
        for (uint256 i = 0; i < 2; i++) {
            configs[i] = Config(
                PAYER, vm.addr(KEY), address(this), address(this), address(money), 15 minutes, bytes32(i)
            );
            ids[i] = channels.getChannelId(configs[i]);
        }
        vm.warp(now_s);
    }

    // The collector: brings exactly what is asked for.
    function collect(address, address, uint256 amount, bytes32, bytes calldata) external {
        require(msg.sender == address(channels));
        money.mint(msg.sender, amount);
    }

    function deposit(uint8 which, uint64 amount) external {
        uint256 i = which % 2;
        channels.deposit(configs[i], amount, address(this), "");
        deposited[i] += amount;
    }

    function claim(uint8 which, uint64 max, uint64 total) external {
        uint256 i = which % 2;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, channels.getVoucherDigest(ids[i], max));
        if (max > signed[i]) signed[i] = max;
        VoucherClaim[] memory claims = new VoucherClaim[](1);
        claims[0] = VoucherClaim(Voucher(configs[i], max), abi.encodePacked(r, s, v), total);
        (, uint128 before) = channels.channels(ids[i]);
        channels.claim(claims);
        (, uint128 afterwards) = channels.channels(ids[i]);
        require(afterwards >= before, "claimed shrank");
        claimed[i] += afterwards - before;
    }

    // A voucher for exactly what is there, so that claims succeed often.
    function claim_all(uint8 which) external {
        (uint128 balance,) = channels.channels(ids[which % 2]);
        this.claim(which, uint64(balance), uint64(balance));
    }

    function settle() external {
        channels.settle(address(this), address(money));
    }

    function announce(uint8 which, uint64 amount) external {
        vm.prank(PAYER);
        channels.initiateWithdraw(configs[which % 2], amount);
    }

    function take(uint8 which) external {
        uint256 i = which % 2;
        uint256 before = money.balanceOf(PAYER);
        vm.prank(PAYER);
        channels.finalizeWithdraw(configs[i]);
        returned[i] += money.balanceOf(PAYER) - before;
    }

    function refund(uint8 which, uint64 amount) external {
        uint256 i = which % 2;
        uint256 before = money.balanceOf(PAYER);
        channels.refund(configs[i], amount);
        returned[i] += money.balanceOf(PAYER) - before;
    }

    function wait_some(uint16 seconds_) external {
        now_s += seconds_;
        vm.warp(now_s);
    }
}

contract Channels is Base {
    Actor actor;

    function setUp() public {
        actor = new Actor();
    }

    function targetContracts() public view returns (address[] memory found) {
        found = new address[](1);
        found[0] = address(actor);
    }

    // B2, B3: a channel holds what came less what went back; claims stay within it and the vouchers.
    function invariant_channels() public view {
        for (uint256 i = 0; i < 2; i++) {
            (uint128 balance, uint128 claimed) = actor.channels().channels(actor.ids(i));
            assert(balance == actor.deposited(i) - actor.returned(i));
            assert(claimed == actor.claimed(i));
            assert(claimed <= balance);
            assert(claimed <= actor.signed(i));
        }
    }

    // B1: the token balance is all unclaimed money and all unsettled claims, to the unit.
    function invariant_solvency() public view {
        Money money = actor.money();
        uint256 owed = 0;
        for (uint256 i = 0; i < 2; i++) {
            (uint128 balance, uint128 claimed) = actor.channels().channels(actor.ids(i));
            owed += balance - claimed;
        }
        (uint128 total, uint128 settled) = actor.channels().receivers(address(actor), address(money));
        assert(settled <= total);
        assert(money.balanceOf(address(actor)) == settled);
        assert(money.balanceOf(address(actor.channels())) == owed + total - settled);
    }
}
