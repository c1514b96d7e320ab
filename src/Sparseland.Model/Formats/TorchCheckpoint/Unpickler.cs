using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;

namespace Sparseland.Model.Formats.TorchCheckpoint;

/// <summary>Reads Python pickles (protocols 0 to 5) into plain values: a stack machine that can construct data and nothing else.</summary>
/// <remarks>
/// Opcodes as in CPython's pickletools. Names are resolved by <see cref="TorchGlobals"/>, which refuses all but a few.
/// Stack, memo and marks are limited; every length is checked against the bytes that are left.
/// </remarks>
internal sealed class Unpickler
{
    private const int MaxStack = 1 << 20, MaxMarks = 1 << 10, MaxMemo = 1 << 22;

    private readonly byte[] _data;
    private readonly string _where;
    private readonly TorchGlobals _globals;
    private readonly Func<object?, object?> _persistentLoad;
    private readonly List<object?> _stack = [];
    private readonly List<int> _marks = [];
    private readonly Dictionary<long, object?> _memo = [];
    private int _at;

    internal Unpickler(byte[] data, int start, string where, Func<object?, object?> persistentLoad)
    {
        _data = data;
        _at = start;
        _where = where;
        _globals = new TorchGlobals(where);
        _persistentLoad = persistentLoad;
    }

    /// <summary>Where the next byte behind the pickle is.</summary>
    internal int Position => _at;

    /// <summary>Runs to the STOP opcode and returns the value.</summary>
    internal object? Load()
    {
        while (true)
        {
            byte op = Take();
            if (op == '.') return Pop();
            Step(op);
            if (_stack.Count > MaxStack || _memo.Count > MaxMemo || _marks.Count > MaxMarks)
                throw TorchErrors.OverLimit(_where, $"the pickle keeps more than {MaxStack} values on its stack, {MaxMemo} in its memo or {MaxMarks} open containers");
        }
    }

    private void Step(byte op)
    {
        switch (op)
        {
            case 0x80: // PROTO
                if (Take() > 5) throw Damaged("the pickle's protocol is newer than 5");
                break;
            case 0x95: // FRAME
                if (TakeLength8() > _data.Length - _at) throw Damaged("a frame reaches beyond the end");
                break;
            case (byte)'(': _marks.Add(_stack.Count); break;
            case (byte)'0':
                // POP also undoes a MARK that is on top.
                if (_marks.Count > 0 && _marks[^1] == _stack.Count) _marks.RemoveAt(_marks.Count - 1);
                else Pop();
                break;
            case (byte)'1': PopMark(); break;
            case (byte)'2': Push(Peek()); break;

            case (byte)'N': Push(null); break;
            case 0x88: Push(true); break;
            case 0x89: Push(false); break;
            case (byte)'I': PushInteger(TakeLine()); break;
            case (byte)'L': PushInteger(TakeLine().TrimEnd('L')); break;
            case (byte)'F': PushFloat(TakeLine()); break;
            case (byte)'J': Push((long)BinaryPrimitives.ReadInt32LittleEndian(Take(4))); break;
            case (byte)'K': Push((long)Take()); break;
            case (byte)'M': Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2))); break;
            case 0x8a: PushLong(Take(Take())); break;
            case 0x8b: PushLong(Take(TakeLength4())); break;
            case (byte)'G': Push(BinaryPrimitives.ReadDoubleBigEndian(Take(8))); break;

            case (byte)'S': Push(Unquote(TakeLine())); break;
            case (byte)'V': Push(UnescapeRaw(TakeLine())); break;
            case (byte)'T': Push(Encoding.Latin1.GetString(Take(TakeLength4()))); break;
            case (byte)'U': Push(Encoding.Latin1.GetString(Take(Take()))); break;
            case (byte)'X': Push(Encoding.UTF8.GetString(Take(TakeLength4()))); break;
            case 0x8c: Push(Encoding.UTF8.GetString(Take(Take()))); break;
            case 0x8d: Push(Encoding.UTF8.GetString(Take(TakeLength8()))); break;
            case (byte)'B': Push(Take(TakeLength4()).ToArray()); break;
            case (byte)'C': Push(Take(Take()).ToArray()); break;
            case 0x8e or 0x96: Push(Take(TakeLength8()).ToArray()); break;

            case (byte)')': Push(new PickleTuple([])); break;
            case (byte)'t': Push(new PickleTuple(PopMark())); break;
            case 0x85: Push(new PickleTuple([Pop()])); break;
            case 0x86: PushTuple(2); break;
            case 0x87: PushTuple(3); break;
            case (byte)']' or 0x8f: Push(new PickleList()); break;
            case (byte)'l':
                var list = new PickleList();
                list.Items.AddRange(PopMark());
                Push(list);
                break;
            case 0x91: // FROZENSET
                var set = new PickleList();
                set.Items.AddRange(PopMark());
                Push(set);
                break;
            case (byte)'a':
                object? item = Pop();
                TopList().Items.Add(item);
                break;
            case (byte)'e' or 0x90:
                object?[] items = PopMark();
                TopList().Items.AddRange(items);
                break;
            case (byte)'}': Push(new PickleDict()); break;
            case (byte)'d':
                object?[] pairs = PopMark();
                Push(new PickleDict());
                SetItems(pairs);
                break;
            case (byte)'s':
                object? value = Pop(), key = Pop();
                SetItems([key, value]);
                break;
            case (byte)'u': SetItems(PopMark()); break;

            case (byte)'g': Push(Recall(ParseIndex(TakeLine()))); break;
            case (byte)'h': Push(Recall(Take())); break;
            case (byte)'j': Push(Recall(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)))); break;
            case (byte)'p': _memo[ParseIndex(TakeLine())] = Peek(); break;
            case (byte)'q': _memo[Take()] = Peek(); break;
            case (byte)'r': _memo[BinaryPrimitives.ReadUInt32LittleEndian(Take(4))] = Peek(); break;
            case 0x94: _memo[_memo.Count] = Peek(); break;

            case (byte)'c': Push(_globals.Find(TakeLine(), TakeLine())); break;
            case 0x93:
                object? name = Pop(), module = Pop();
                Push(_globals.Find(module as string ?? throw Damaged("a global's module is no text"), name as string ?? throw Damaged("a global's name is no text")));
                break;
            case (byte)'R':
                object? arguments = Pop(), function = Pop();
                Push(_globals.Call(function, arguments));
                break;
            case 0x81: // NEWOBJ
                object? newArguments = Pop(), type = Pop();
                Push(_globals.Call(type, newArguments));
                break;
            case (byte)'b': Build(); break;
            case (byte)'P': Push(_persistentLoad(TakeLine())); break;
            case (byte)'Q': Push(_persistentLoad(Pop())); break;

            case (byte)'i' or (byte)'o' or 0x82 or 0x83 or 0x84 or 0x92:
                throw TorchErrors.Forbidden(_where, op == 'i' ? $"{TakeLine()}.{TakeLine()}" : $"an object (opcode 0x{op:x2})");
            default:
                throw Damaged($"opcode 0x{op:x2} at byte {_at - 1} is not known");
        }
    }

    private void Build()
    {
        object? state = Pop();
        // state_dict() hangs its version table onto the OrderedDict this way; it says nothing about weights.
        if (Peek() is PickleDict && state is PickleDict or null) return;
        throw TorchErrors.Forbidden(_where, $"the state of an object ({PickleText.Describe(Peek())})");
    }

    private void SetItems(object?[] pairs)
    {
        if (pairs.Length % 2 != 0) throw Damaged("a dictionary gets a key without a value");
        if (Peek() is not PickleDict dict) throw Damaged("items are set on something that is no dictionary");
        for (int i = 0; i < pairs.Length; i += 2) dict.Set(pairs[i], pairs[i + 1]);
    }

    private PickleList TopList() => Peek() as PickleList ?? throw Damaged("items are appended to something that is no list");

    private void PushTuple(int count)
    {
        var items = new object?[count];
        for (int i = count - 1; i >= 0; i--) items[i] = Pop();
        Push(new PickleTuple(items));
    }

    private void PushInteger(string line)
    {
        if (line is "00" or "01") Push(line == "01");
        else if (line.Length <= 4096 && BigInteger.TryParse(line, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out BigInteger value)) PushBig(value);
        else throw Damaged("an integer is no number");
    }

    private void PushFloat(string line)
    {
        if (!double.TryParse(line, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)) throw Damaged("a float is no number");
        Push(value);
    }

    private void PushLong(ReadOnlySpan<byte> bytes) => PushBig(new BigInteger(bytes));

    private void PushBig(BigInteger value) => Push(value >= long.MinValue && value <= long.MaxValue ? (object)(long)value : value);

    private void Push(object? value) => _stack.Add(value);

    private object? Pop()
    {
        if (_stack.Count == 0 || (_marks.Count > 0 && _marks[^1] == _stack.Count)) throw Damaged("the pickle's stack is empty");
        object? value = _stack[^1];
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private object? Peek() => _stack.Count > 0 ? _stack[^1] : throw Damaged("the pickle's stack is empty");

    private object?[] PopMark()
    {
        if (_marks.Count == 0) throw Damaged("the pickle closes a container that it did not open");
        int mark = _marks[^1];
        _marks.RemoveAt(_marks.Count - 1);
        object?[] items = [.. _stack.Skip(mark)];
        _stack.RemoveRange(mark, _stack.Count - mark);
        return items;
    }

    private object? Recall(long index) => _memo.TryGetValue(index, out object? value) ? value : throw Damaged($"memo entry {index} does not exist");

    private long ParseIndex(string line) =>
        long.TryParse(line, NumberStyles.None, CultureInfo.InvariantCulture, out long index) ? index : throw Damaged("a memo index is no number");

    private byte Take() => _at < _data.Length ? _data[_at++] : throw Damaged("the pickle ends too early");

    private ReadOnlySpan<byte> Take(long count)
    {
        if (count < 0 || count > _data.Length - _at) throw Damaged($"{count} bytes are announced where {_data.Length - _at} are left");
        ReadOnlySpan<byte> bytes = _data.AsSpan(_at, (int)count);
        _at += (int)count;
        return bytes;
    }

    private long TakeLength4() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    private long TakeLength8()
    {
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(Take(8));
        return length <= int.MaxValue ? (long)length : throw Damaged($"{length} bytes are announced");
    }

    private string TakeLine()
    {
        int end = Array.IndexOf(_data, (byte)'\n', _at);
        if (end < 0) throw Damaged("a line has no end");
        string line = Encoding.Latin1.GetString(_data, _at, end - _at).TrimEnd('\r');
        _at = end + 1;
        return line;
    }

    private string Unquote(string line)
    {
        if (line.Length < 2 || line[0] != line[^1] || line[0] is not ('\'' or '"')) throw Damaged("text lacks its quotes");
        return UnescapeRaw(line[1..^1]).Replace("\\'", "'", StringComparison.Ordinal).Replace("\\\\", "\\", StringComparison.Ordinal);
    }

    private static string UnescapeRaw(string text)
    {
        if (!text.Contains("\\u", StringComparison.Ordinal)) return text;
        return System.Text.RegularExpressions.Regex.Replace(text, @"\\u([0-9a-fA-F]{4})",
            m => ((char)int.Parse(m.Groups[1].ValueSpan, NumberStyles.HexNumber, CultureInfo.InvariantCulture)).ToString());
    }

    private ModelFormatException Damaged(string because) => TorchErrors.Damaged(_where, because);
}
