namespace Sparseland.Model.Formats.Numpy;

internal static class NumpyErrors
{
    internal const string DamagedCode = "SL1401";

    internal static ModelFormatException Damaged(string where, string because, Exception? inner = null) =>
        new(DamagedCode, "this is no sound NumPy file", inner) { Where = where, Because = because };
}
