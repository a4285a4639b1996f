use super::*;
use proptest::prelude::*;

fn body(body: &[u8]) -> Record<'_> {
    Record {
        key: None,
        headers: vec![],
        body,
    }
}

fn sample() -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&body(b"hello"));
    builder.push(&Record {
        key: Some(b"k"),
        headers: vec![("trace", b"\x01\x02")],
        body: b"",
    });
    builder.seal(TopicId([1; 16]), ProducerId([2; 16]), 7, UnixMicros(1_000))
}

#[test]
fn batches_cut_from_one_block_are_as_others_and_take_no_more_than_they_said() {
    let mut block = BytesMut::with_capacity(1000);
    let records = [body(b"hello"), body(&[7; 200]), body(b"")];
    let seal = |mut builder: BatchBuilder, record: &Record<'_>| {
        builder.push(record);
        builder.seal(TopicId([1; 16]), ProducerId([2; 16]), 7, UnixMicros(1_000))
    };
    let mut left = 1000;
    let mut batches = vec![];
    for record in &records {
        let bytes = BatchBuilder::bytes_with(record);
        batches.push(seal(BatchBuilder::cut_from(&mut block, bytes), record));
        left -= bytes;
        assert_eq!(block.capacity(), left);
    }
    for (batch, record) in batches.iter().zip(&records) {
        assert_eq!(*batch, seal(BatchBuilder::new(), record));
        verify(batch).unwrap();
    }
}

#[test]
fn the_layout_is_frozen() {
    let hex: String = sample().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        concat!(
            "57504231",
            "75000000",
            "0000000000000000",
            "0000000000000000",
            "0000000000000000",
            "2d8187d3",
            "0000",
            "0000",
            "01010101010101010101010101010101",
            "02020202020202020202020202020202",
            "0700000000000000",
            "e803000000000000",
            "02000000",
            "15000000",
            "0005",
            "68656c6c6f",
            "0300",
            "016b",
            "0105",
            "7472616365",
            "020102"
        )
    );
}

#[test]
fn host_fields_leave_the_checksum_true() {
    let mut bytes = sample().to_vec();
    let epoch = Epoch {
        grant: 3,
        incarnation: 4,
    };
    set_host_fields(&mut bytes, Offset(42), epoch, UnixMicros(-5));
    let header = verify(&bytes).unwrap();
    assert_eq!((header.base, header.end()), (Offset(42), Offset(44)));
    assert_eq!((header.epoch, header.appended), (epoch, UnixMicros(-5)));
    assert_eq!(header.next_sequence(), 9);
    let messages = records(&bytes).unwrap();
    assert_eq!(messages[0], (Offset(42), body(b"hello")));
    assert_eq!(messages[1].1.key, Some(b"k".as_slice()));
}

#[test]
fn a_renumbered_batch_is_the_one_sealed_so_from_the_start() {
    let mut builder = BatchBuilder::new();
    builder.push(&body(b"hello"));
    let bytes = builder.seal(TopicId([1; 16]), ProducerId([2; 16]), 7, UnixMicros(1_000));
    let mut builder = BatchBuilder::new();
    builder.push(&body(b"hello"));
    let other = builder.seal(TopicId([1; 16]), ProducerId([3; 16]), 0, UnixMicros(1_000));
    assert_eq!(renumber(&bytes, ProducerId([3; 16]), 0), other);
}

#[test]
fn every_flipped_bit_of_the_producers_part_is_noticed() {
    let good = sample();
    for at in 0..good.len() {
        // The host's fields are not under the producer's checksum.
        if (8..32).contains(&at) {
            continue;
        }
        for bit in 0..8 {
            let mut bad = good.to_vec();
            bad[at] ^= 1 << bit;
            assert!(verify(&bad).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_count_that_lies_is_refused() {
    let mut builder = BatchBuilder::new();
    builder.push(&body(b"x"));
    builder.count = 2;
    let bytes = builder.seal(TopicId([0; 16]), ProducerId([0; 16]), 0, UnixMicros(0));
    assert_eq!(
        verify(&bytes),
        Err(BatchError::Record {
            index: 1,
            what: "cut short"
        })
    );
}

proptest! {
    #[test]
    fn what_is_built_is_read(
        // Some are added to the checksum by themselves, others with those before them.
        bodies in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(any::<u8>(), 1_000..1_100),
        ], 1..20),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    ) {
        let mut builder = BatchBuilder::new();
        for b in &bodies {
            builder.push(&Record { key: key.as_deref(), headers: vec![("h", b)], body: b });
        }
        let bytes = builder.seal(TopicId([1; 16]), ProducerId([2; 16]), 0, UnixMicros(0));
        prop_assert!(verify(&bytes).is_ok());
        let read = records(&bytes).unwrap();
        prop_assert_eq!(read.len(), bodies.len());
        for ((_, record), b) in read.iter().zip(&bodies) {
            prop_assert_eq!(record.body, &b[..]);
            prop_assert_eq!(record.key, key.as_deref());
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = verify(&bytes);
        let _ = records(&bytes);
    }
}
