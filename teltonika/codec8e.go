package teltonika

// Codec 8 Extended (vendor's page, "Codec 8 Extended"), one record:
//
//	 0            24      26      28
//	+------------+-------+-------+----------------------+---------+---------+---------+---------------------------+
//	| fixed part | event | total | n1 n1×(id, value 1)  | n2 ...2 | n4 ...4 | n8 ...8 | nx nx×(id, length, value) |
//	+------------+-------+-------+----------------------+---------+---------+---------+---------------------------+
//
// Event id, total, counts, ids and lengths are two bytes each. Real devices send many values of length 0.
var layout8E = layout{idSize: 2, countSize: 2, groups: []Group{Group1, Group2, Group4, Group8, GroupX}}
