package teltonika

// Codec 16 (vendor's page, "Codec 16"), one record:
//
//	 0            24      26           27      28
//	+------------+-------+------------+-------+----------------------+---------+---------+---------+
//	| fixed part | event | generation | total | n1 n1×(id, value 1)  | n2 ...2 | n4 ...4 | n8 ...8 |
//	+------------+-------+------------+-------+----------------------+---------+---------+---------+
//
// Event id and ids are two bytes, total and counts one. The generation type says what caused the record:
// 0 on exit, 1 on entrance, 2 on both, 3 reserved, 4 hysteresis, 5 on change, 6 eventual, 7 periodical. Others are
// kept.
var layout16 = layout{idSize: 2, countSize: 1, generation: true, groups: []Group{Group1, Group2, Group4, Group8}}
